from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.calibrate import OPSET17_GRAPH
from calibration.placement import CONCAT, Choice, place
from calibration.quantize import quantized_graph
from contract.bundle import Bundle
from contract.calibrated_ranges import ranges_of
from contract.errors import GasedgeError
from contract.precision import Precision
from edge_runtime.backends.onnxruntime_cpu import OnnxRuntimeSegmenter
from tests.calibration.taught import scenes


class Graph:
    """A graph with its nodes by output, its tensors by name, and its opset."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_model_from_string(data)
        self.nodes = list(self.model.graph.node)
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.tensor = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        self.opset = {each.domain: each.version for each in self.model.opset_import}[""]

    def kind(self, name: str) -> str:
        return self.maker[name].op_type if name in self.maker else ""

    def steps_of(self, dequantise) -> np.ndarray:
        """The integers that a weight's DequantizeLinear is given; TensorRT 8 makes them itself."""
        if self.kind(dequantise.input[0]) != "QuantizeLinear":
            return self.tensor[dequantise.input[0]]
        weight, scale, _ = (self.tensor[n] for n in self.maker[dequantise.input[0]].input)
        steps = weight / scale[:, None, None, None]
        assert np.abs(steps - np.rint(steps)).max() < 1e-3  # no rounding can tell them apart
        return np.rint(steps).astype(np.int8)

    def of(self, kind: str) -> list:
        return [node for node in self.nodes if node.op_type == kind]


@pytest.fixture(params=["half", "opset17"])
def int8(request, calibrated_original) -> Graph:
    bundle = Bundle.open(calibrated_original)
    name = "model.int8.onnx" if request.param == "half" else OPSET17_GRAPH
    return Graph(bundle.read(name))


def test_every_convolution_but_stem_and_head_takes_int8_directly(int8):
    convolutions = int8.of("Conv")
    plain = [n for n in convolutions if int8.kind(n.input[1]) != "DequantizeLinear"]
    assert plain == [convolutions[0], convolutions[-1]]
    for node in convolutions[1:-1]:
        weight, value = int8.maker[node.input[1]], int8.maker[node.input[0]]
        assert len(int8.tensor[weight.input[1]]) == int8.steps_of(weight).shape[0]
        assert value.op_type == "DequantizeLinear"
        assert int8.kind(value.input[0]) == "QuantizeLinear"


def test_zero_points_are_zero_and_biases_stay_floats(int8):
    for node in [*int8.of("QuantizeLinear"), *int8.of("DequantizeLinear")]:
        zero = int8.tensor[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        scale = int8.tensor[node.input[1]]
        assert scale.dtype == (np.float16 if int8.opset >= 19 else np.float32)
        assert (scale > 0).all()
    for node in int8.of("Conv"):
        assert len(node.input) < 3 or int8.tensor[node.input[2]].dtype.kind == "f"


def test_residual_additions_have_a_pair_on_the_shortcut_only(int8):
    additions = int8.of("Add")
    assert additions
    for node in additions:
        assert sorted(int8.kind(name) for name in node.input) == ["Conv", "DequantizeLinear"]


def test_nothing_stands_between_a_convolution_and_its_relu(int8):
    for node in int8.of("QuantizeLinear"):
        made_by = int8.kind(node.input[0])
        readers = [n for n in int8.nodes if node.input[0] in n.input]
        assert made_by != "Conv" or "Relu" not in {n.op_type for n in readers}


def test_opset_and_type_suit_their_tensorrt(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    new, old = Graph(bundle.graph(Precision.INT8)), Graph(bundle.read(OPSET17_GRAPH))
    assert (new.opset, old.opset) == (19, 17)
    assert not [t for t in old.tensor.values() if t.dtype == np.float16]
    for node in new.of("Resize"):
        assert new.tensor[node.input[2]].dtype == np.float32
    inside = {new.tensor[n.input[2]].dtype for n in new.of("Conv")}
    assert inside == {np.dtype(np.float16)}


def test_tensorrt_8_is_given_no_int8_constant_and_the_same_integers(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    new, old = Graph(bundle.graph(Precision.INT8)), Graph(bundle.read(OPSET17_GRAPH))
    zeros = {node.input[2] for node in old.nodes if node.op_type.endswith("eLinear")}
    assert not [n for n, t in old.tensor.items() if t.dtype == np.int8 and n not in zeros]
    compared = 0
    for one, other in zip(new.of("Conv"), old.of("Conv"), strict=True):
        if new.kind(one.input[1]) == "DequantizeLinear":
            steps = new.steps_of(new.maker[one.input[1]])
            assert steps.dtype == np.int8
            np.testing.assert_array_equal(steps, old.steps_of(old.maker[other.input[1]]))
            compared += 1
    assert compared == len(new.of("Conv")) - 2


def test_weights_are_kept_within_half_a_step_of_their_channel(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    int8, fp32 = Graph(bundle.graph(Precision.INT8)), Graph(bundle.graph(Precision.FP32))
    checked = 0
    for before, after in zip(fp32.of("Conv"), int8.of("Conv"), strict=True):
        if int8.kind(after.input[1]) != "DequantizeLinear":
            continue
        steps, scale, _ = (int8.tensor[name] for name in int8.maker[after.input[1]].input)
        scale = scale.astype(np.float32)[:, None, None, None]
        error = np.abs(steps * scale - fp32.tensor[before.input[1]])
        # FP16 rounds a scale by up to 2^-11, which the largest weight of a channel feels 127 times.
        assert (error <= scale * (0.5 + 127 * 2**-11)).all()
        checked += 1
    assert checked == len(int8.of("Conv")) - 2


def test_int8_graphs_of_both_opsets_give_nearly_the_masks_of_fp32(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    frames = scenes(8, seed=31)[0]

    def masks(graph: bytes, *, optimise: bool):
        with OnnxRuntimeSegmenter(
            graph,
            geometry=bundle.manifest.input,
            precision=Precision.INT8,
            optimise=optimise,
        ) as segmenter:
            return segmenter.segment(frames).mask

    fp32 = masks(bundle.graph(Precision.FP32), optimise=False)
    assert len(np.unique(fp32)) == 3
    as_written = masks(bundle.graph(Precision.INT8), optimise=False)
    assert np.mean(as_written != fp32) < 0.03
    assert np.mean(masks(bundle.read(OPSET17_GRAPH), optimise=False) != as_written) < 0.01
    # ONNX Runtime's own Q/DQ merging gets FP16 scales wrong; the backend keeps it away.
    assert np.mean(masks(bundle.graph(Precision.INT8), optimise=True) != as_written) < 0.01


def test_a_missing_range_is_refused(taught_original):
    graph = Bundle.open(taught_original).graph(Precision.FP32)
    placement = place(onnx.load_model_from_string(graph).graph)
    own = [tensor for tensor in placement.pairs if tensor not in placement.same_range]
    assert quantized_graph(graph, dict.fromkeys(own, 1.0))
    with pytest.raises(GasedgeError, match="has no usable range"):
        quantized_graph(graph, dict.fromkeys(own[:-1], 1.0))


@pytest.mark.parametrize("old", [False, True])
def test_tensorrt_builds_every_chosen_convolution_in_int8(calibrated_original, old):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    from contract.tensorrt_api import find_tensorrt
    from export.builder_settings import BuildRequest
    from export.engine_from_onnx import engine_from_onnx, reading_of_engine
    from export.plan_statistics import statistics_of

    bundle = Bundle.open(calibrated_original)
    graph = bundle.read(OPSET17_GRAPH) if old else bundle.graph(Precision.INT8)
    convolutions = len(Graph(graph).of("Conv"))
    tensorrt = find_tensorrt(rtx=True)
    engine = engine_from_onnx(tensorrt, graph, BuildRequest(Precision.INT8)).engine
    counted = statistics_of(reading_of_engine(tensorrt, engine))
    others = (0, 2) if old else (2, 0)  # FP16 is TensorRT 8's own flag
    assert (counted.int8, counted.fp16, counted.fp32) == (convolutions - 2, *others)


def _quantised(fp32, choice):
    model = onnx.load_model_from_string(fp32)
    largest = dict.fromkeys(place(model.graph, choice).pairs, 3.0)
    return Graph(quantized_graph(fp32, largest, choice, half=False))


def _int8_convolutions(graph):
    return [n for n in graph.of("Conv") if graph.kind(n.input[1]) == "DequantizeLinear"]


def test_stem_and_head_take_int8_when_they_are_asked_to(taught_original):
    fp32 = Bundle.open(taught_original).graph(Precision.FP32)
    usual = len(_int8_convolutions(_quantised(fp32, Choice())))
    for choice, more in (
        (Choice(stem=True), 1),
        (Choice(head=True), 1),
        (Choice(stem=True, head=True), 2),
    ):
        graph = _quantised(fp32, choice)
        found = _int8_convolutions(graph)
        assert len(found) == usual + more
        assert (graph.of("Conv")[0] in found, graph.of("Conv")[-1] in found) == (
            choice.stem,
            choice.head,
        )


@pytest.mark.parametrize("concat", CONCAT)
def test_a_nearest_resize_copies_int8_and_changes_no_value_by_it(calibrated_original, concat):
    bundle = Bundle.open(calibrated_original)
    fp32 = bundle.graph(Precision.FP32)
    largest = {name: each.chosen for name, each in ranges_of(bundle).tensors.items()}
    largest |= dict.fromkeys(
        set(place(onnx.load_model_from_string(fp32).graph, Choice(concat=concat)).pairs)
        - set(largest),
        3.0,
    )
    data = quantized_graph(fp32, largest, Choice(concat=concat), half=False)
    early = Graph(data)
    assert early.of("Resize")
    assert {early.kind(node.input[0]) for node in early.of("Resize")} == {"DequantizeLinear"}
    for node in early.of("Resize"):  # the same graph with the pairs before its resizes led past
        node.input[0] = early.maker[early.maker[node.input[0]].input[0]].input[0]
    late = early.model.SerializeToString()
    frames = scenes(4, seed=33)[0]
    masks = []
    for graph in (data, late):
        with OnnxRuntimeSegmenter(
            graph, geometry=bundle.manifest.input, precision=Precision.INT8, optimise=False
        ) as segmenter:
            masks.append(segmenter.segment(frames))
    assert np.array_equal(masks[0].mask, masks[1].mask)
    assert np.array_equal(masks[0].score, masks[1].score)


def test_separate_concat_scales_give_each_part_its_own_and_keep_the_one_behind(taught_original):
    fp32 = Bundle.open(taught_original).graph(Precision.FP32)
    shared, separate = (_quantised(fp32, Choice(concat=each)) for each in CONCAT)
    assert shared.of("Concat")
    for node in shared.of("Concat"):
        assert "DequantizeLinear" not in {shared.kind(name) for name in node.input}
    for node in separate.of("Concat"):
        assert {separate.kind(name) for name in node.input} == {"DequantizeLinear"}
        assert len(set(node.input)) == len(node.input)
        (after,) = [n for n in separate.nodes if node.output[0] in n.input]
        assert after.op_type == "QuantizeLinear"


def test_a_convolution_kept_in_fp16_takes_every_pair_with_it_that_only_it_needs(taught_original):
    fp32 = Bundle.open(taught_original).graph(Precision.FP32)
    graph = onnx.load_model_from_string(fp32).graph
    usual = place(graph)
    for kept in usual.convolutions:
        placement = place(graph, Choice(fp16=frozenset({kept})))
        assert placement.left_out[kept] == "budget"
        int8 = _quantised(fp32, Choice(fp16=frozenset({kept})))
        (node,) = [n for n in int8.of("Conv") if n.output[0] == kept]
        assert int8.kind(node.input[1]) != "DequantizeLinear"
        assert int8.kind(node.input[0]) != "DequantizeLinear"
        for add in [n for n in int8.of("Add") if kept in n.input]:
            assert "DequantizeLinear" not in {int8.kind(name) for name in add.input}
        read = {name for n in int8.nodes for name in n.input}
        assert all(n.output[0] in read for n in int8.of("DequantizeLinear"))
