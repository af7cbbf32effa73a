"""The calibration cache says what the Q/DQ graph says, in the words of TensorRT <= 10."""

from __future__ import annotations

import struct

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.tensorrt_cache import CalibrationCache, read_cache, watched_for_cache
from contract.bundle import Bundle
from contract.calibrated_ranges import CALIBRATION_CACHE, ranges_of
from contract.errors import GasedgeError, InputError
from contract.precision import Precision


@pytest.fixture(scope="module")
def graphs(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    return bundle.graph(Precision.FP32), bundle.graph(Precision.INT8)


@pytest.fixture(scope="module")
def cache(calibrated_original):
    return read_cache(Bundle.open(calibrated_original).read(CALIBRATION_CACHE))


def test_every_scale_of_the_qdq_graph_stands_in_the_cache_bit_for_bit(graphs, cache):
    graph = onnx.load_model_from_string(graphs[1]).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    pairs = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(pairs) > 10
    for node in pairs:
        assert cache.scales[node.input[0]] == float(values[node.input[1]])


def test_names_are_those_of_the_fp32_graph_that_tensorrt_parses(graphs, cache):
    graph = onnx.load_model_from_string(graphs[0]).graph
    assert set(cache.scales) < {name for node in graph.node for name in node.output}


def test_a_convolution_has_scales_on_both_sides_if_and_only_if_it_is_int8(graphs, cache):
    fp32, int8 = (onnx.load_model_from_string(each).graph for each in graphs)
    weights = {tensor.name for tensor in int8.initializer}
    chosen = {n.output[0] for n in int8.node if n.op_type == "Conv" and n.input[1] not in weights}
    convolutions = [node for node in fp32.node if node.op_type == "Conv"]
    has_both = {
        node.output[0]
        for node in convolutions
        if node.input[0] in cache.scales and node.output[0] in cache.scales
    }
    assert has_both == chosen
    assert 0 < len(chosen) < len(convolutions)


def test_what_only_a_relu_reads_takes_its_scale_and_other_branches_their_own(
    graphs, cache, calibrated_original
):
    nodes = onnx.load_model_from_string(graphs[0]).graph.node
    rectified = [n for n in nodes if n.op_type == "Relu" and n.input[0] in cache.scales]
    assert rectified
    for node in rectified:
        assert cache.scales[node.input[0]] == cache.scales[node.output[0]]
    own = watched_for_cache(graphs[0])
    made_by = {name: node.op_type for node in nodes for name in node.output}
    branches = {
        name
        for node in nodes
        if node.op_type == "Add"
        for name in node.input
        if made_by[name] == "Conv"
    }
    assert own & branches
    ranges = ranges_of(Bundle.open(calibrated_original)).tensors
    for name in own:
        assert cache.scales[name] == np.float32(ranges[name].chosen / 127)


def test_a_cache_of_tensorrt_itself_is_read():
    # the lines that NVIDIA/TensorRT issue 2036 shows
    read = read_cache(b"TRT-8203-EntropyCalibration2\n167: 3c009976\n168: 3e5d05cc\n")
    assert (read.version, read.algorithm) == (8203, "EntropyCalibration2")
    assert read.scales["168"] == struct.unpack("!f", bytes.fromhex("3e5d05cc"))[0]
    assert read.as_text() == b"TRT-8203-EntropyCalibration2\n167: 3c009976\n168: 3e5d05cc\n"


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"relu: 3c009976\n", b"TRT-8203-EntropyCalibration2\nrelu 3c009976\n"],
)
def test_what_is_no_cache_is_said_to_be_none(text):
    with pytest.raises(InputError, match="calibration cache"):
        read_cache(text)


@pytest.mark.parametrize(("name", "scale"), [("a: b", 1.0), ("a\nb", 1.0), ("a", 0.0)])
def test_what_a_reader_would_take_for_something_else_is_not_written(name, scale):
    with pytest.raises(GasedgeError, match="cannot stand in a calibration cache"):
        CalibrationCache(8502, "EntropyCalibration2", {name: scale}).as_text()
