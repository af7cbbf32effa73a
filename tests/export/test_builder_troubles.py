"""Each trouble has its own message with the remedy; where it can be had, it is the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from contract.bundle import Bundle, graph_name
from contract.errors import ConfigError, EngineError
from contract.machine import Gpu, this_machine
from contract.precision import Precision
from contract.tensorrt_api import TensorRT, find_tensorrt
from export.builder_settings import BuildRequest
from export.builder_troubles import (
    MemoryShortError,
    build_error,
    parse_error,
    require_driver,
    require_served_gpu,
)
from export.engine import BuildOptions, build_engine, size_range
from tests.export.graphs import quantised_graph

HALF = BuildRequest(Precision.FP16)
FOUND = TensorRT(None, "tensorrt", "10.3.0")


@pytest.fixture
def rtx():
    pytest.importorskip("tensorrt_rtx_bindings", reason="pip install 'gasedge[rtx]'")
    return find_tensorrt(rtx=True)


@pytest.fixture
def bundle(tiny_bundle, rtx):
    return Bundle.open(tiny_bundle).updated({graph_name(Precision.INT8): quantised_graph()})


def test_real_builder_that_may_not_have_the_memory_says_so(bundle, tmp_path):
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)); "
        "from gasedge.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    )
    command = ["build-engine", str(bundle.path), "--fp32", "--rtx", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", limited, *command, "--optimization-level", "3"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "ran out of memory" in last or "not enough memory" in last
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tests.pub", bundle.path.name]


def test_real_builder_without_a_gpu_cannot_leave_weights_out_and_says_so(bundle, tmp_path):
    if this_machine().gpu is not None:
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match="--strip: TensorRT for RTX leaves weights out only"):
        build_engine(bundle, Precision.FP16, out=tmp_path, options=BuildOptions(strip=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tests.pub", bundle.path.name]


def test_real_builder_finds_no_dla_and_says_so(bundle, tmp_path):
    with pytest.raises(EngineError, match=r"--dla: tensorrt_rtx .* finds no DLA here.*leave --dla"):
        build_engine(bundle, Precision.FP16, rtx=True, out=tmp_path, options=BuildOptions(dla=True))


def test_operator_that_tensorrt_does_not_know_is_named_with_the_remedy(bundle, tmp_path):
    import onnx

    model = onnx.load_from_string(quantised_graph())
    next(node for node in model.graph.node if node.op_type == "Softmax").op_type = "Sofa"
    odd = bundle.updated({graph_name(Precision.INT8): model.SerializeToString()})
    with pytest.raises(EngineError, match=r"Sofa.*does not know the operator: export the network"):
        build_engine(odd, Precision.INT8, rtx=True, out=tmp_path)


def test_gpu_that_rtx_has_no_kernels_for_is_told_by_its_own_list(rtx):
    require_served_gpu(rtx, "8.9")
    require_served_gpu(rtx, None)
    for jetson_or_data_centre in ("8.7", "9.0", "11.0"):
        with pytest.raises(EngineError, match=r"serves compute capability 7\.5, .*without --rtx"):
            require_served_gpu(rtx, jetson_or_data_centre)


def test_jetson_whose_driver_does_not_answer_builds_no_engine_for_another_gpu():
    machine = replace(this_machine(), gpu=None, gpu_note="the driver sees no GPU", l4t="36.4.3")
    with pytest.raises(EngineError, match=r"a Jetson \(L4T 36.4.3\) but the driver sees no GPU"):
        require_driver(machine)
    require_driver(replace(machine, gpu=Gpu("Orin", "8.7", 8192, 12)))
    require_driver(replace(machine, l4t=None))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            "CUDA initialization failure with error: 35",
            "no answer from the NVIDIA driver: see what",
        ),
        ("CUDA error 209: no kernel image is available", "does not serve this GPU's compute cap"),
        ("Could not find any implementation for node conv1", "ran out of memory while building"),
        ("Error Code 9: Internal Error", "could not build this graph: Error Code 9"),
    ],
)
def test_what_tensorrt_says_is_told_as_what_it_means(said, what):
    assert what in str(build_error(FOUND, [said], HALF))


def test_troubles_of_memory_are_a_kind_of_their_own_and_dla_is_blamed_only_when_asked_for():
    assert isinstance(build_error(FOUND, ["OutOfMemory"], HALF), MemoryShortError)
    said = ["layer argmax cannot run on DLA"]
    assert "--dla" not in str(build_error(FOUND, said, HALF))
    assert "leave --dla out" in str(build_error(FOUND, said, replace(HALF, dla=True)))


def test_parser_that_gives_no_reason_still_gives_a_remedy():
    assert "export the network anew" in str(parse_error(FOUND, []))
    logged = ["q.weight_int8: invalid weights type of Int8"]  # of TensorRT 8
    assert "calibrate the bundle anew" in str(parse_error(FOUND, ["[6] Invalid Node - q"], logged))


@pytest.mark.parametrize(
    "text", ["256", "256x192", "512x512..256x256", "0x0..64x64", "100x64..128x64", "a..b"]
)
def test_size_range_that_no_network_could_take_is_refused(text):
    with pytest.raises(ConfigError, match="--sizes"):
        size_range(text)


def test_size_range_builds_and_must_hold_the_bundles_own_size(bundle, tmp_path):
    options = BuildOptions(sizes=size_range("32x32..96x128"), max_batch=2)
    built = build_engine(bundle, Precision.FP16, rtx=True, out=tmp_path, options=options)
    assert built.fingerprint.builder["sizes"] == "32x32..96x128"
    assert built.statistics.fp16 == built.statistics.convolutions == 17
    too_large = BuildOptions(sizes=size_range("96x96..128x128"))
    with pytest.raises(ConfigError, match="must hold the bundle's own 64x64"):
        build_engine(bundle, Precision.FP16, rtx=True, out=tmp_path, options=too_large)
