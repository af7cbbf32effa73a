"""The planning floor: held against an own count, and against published figures of real modules."""

from __future__ import annotations

import math

import pytest

from contract.errors import ConfigError, InputError
from contract.precision import Precision
from export.jetson_modules import MODULES, JetsonModule, module_named
from export.roofline import LATENCY_FACTOR, layers_of, plan_of

# FCN-ResNet18 in FP16, measured frames a second: dusty-nv/jetson-inference,
# docs/segnet-console-2.md (JetPack 4.2.1, MAX-N). Roofs from NVIDIA's data sheets: 11 and 0.472
# TFLOPS at FP16.
XAVIER = JetsonModule("xavier", int8_tops=22.0, bandwidth_gb_s=136.5)
NANO = JetsonModule("nano", int8_tops=2 * 0.472, bandwidth_gb_s=25.6)
PUBLISHED = [
    (XAVIER, 512, 320, 375), (XAVIER, 640, 512, 224), (XAVIER, 1024, 512, 175),
    (NANO, 512, 320, 34), (NANO, 640, 512, 17), (NANO, 1024, 512, 12),
]  # fmt: skip


def exported(core):
    """The deploy graph of a core that gives three classes."""
    from contract.geometry import InputGeometry
    from export.deploy_graph import onnx_from_network
    from train.networks.frame_network import FrameNetwork

    return onnx_from_network(FrameNetwork(core).eval(), InputGeometry(width=64, height=64))


@pytest.fixture(scope="module")
def fcn_resnet18():
    """The published network: ResNet-18 to a thirty-second and one convolution to classes."""
    import segmentation_models_pytorch as smp
    import torch

    encoder = smp.encoders.get_encoder("resnet18", weights=None)

    class Fcn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = encoder, torch.nn.Conv2d(512, 3, 1)

        def forward(self, frames):
            return self.head(self.encoder(frames)[-1])

    return exported(Fcn())


@pytest.fixture(scope="module")
def unet():
    from train.networks.registry import build_network

    return exported(build_network("unet-resnet18"))


@pytest.mark.slow
@pytest.mark.parametrize(("module", "width", "height", "fps"), PUBLISHED)
def test_published_latency_lies_between_the_floor_and_the_planning_latency(
    fcn_resnet18, module, width, height, fps
):
    plan = plan_of(fcn_resnet18, module, Precision.FP16, width=width, height=height, camera_fps=10)
    measured_ms = 1000 / fps
    assert plan.floor_ms <= measured_ms <= plan.planning_ms
    assert plan.planning_ms == pytest.approx(LATENCY_FACTOR * plan.floor_ms)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "side", "int8_ms", "fp16_ms"),
    [("orin-nano-8gb-super", 256, 0.49, 0.97), ("orin-nano-8gb-super", 512, 1.72, 3.44),
     ("agx-orin-64gb", 256, 0.22, 0.44), ("agx-orin-64gb", 512, 0.75, 1.49)],
)  # fmt: skip
def test_floor_of_the_unet_is_that_of_an_independent_count(unet, module, side, int8_ms, fp16_ms):
    for precision, expected in ((Precision.INT8, int8_ms), (Precision.FP16, fp16_ms)):
        plan = plan_of(unet, MODULES[module], precision, width=side, height=side, camera_fps=10)
        assert plan.floor_ms == pytest.approx(expected, rel=0.05)


def small_graph():
    """One convolution of 3 to 8 channels, one Relu, one Resize to twice the size."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights"], ["made"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["made"], ["kept"]),
        helper.make_node("Resize", ["kept", "", "scales"], ["mask"], "resize", mode="nearest"),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 8, 64, 64])],
        [numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "weights"),
         numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
    )  # fmt: skip
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset]).SerializeToString()


def test_work_of_each_layer_is_what_one_counts_by_hand():
    conv, resize, ends = layers_of(small_graph(), 96, 64)
    pixels = 96 * 64
    assert conv.macs == pixels * 8 * 3 * 9
    assert conv.elements == pixels * 3 + 8 * 3 * 9 + pixels * 8
    assert (resize.macs, resize.elements) == (0, pixels * 8 + 4 * pixels * 8)
    assert ends.io_bytes == pixels * 3 + 4 * pixels * 8
    roof = JetsonModule("roof", int8_tops=1e-3, bandwidth_gb_s=1.0)
    plan = plan_of(small_graph(), roof, Precision.FP16, width=96, height=64, camera_fps=2)
    expected = [
        max(2 * layer.macs / 0.5e9, (2 * layer.elements + layer.io_bytes) / 1e9)
        for layer in (conv, resize, ends)
    ]
    assert plan.floor_ms == pytest.approx(1000 * sum(expected))
    assert 0 < plan.bound_by_memory < 1
    assert plan.cameras == math.floor(0.7 * 1000 / plan.planning_ms / 2)


def test_what_cannot_be_planned_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="it has orin-nano-8gb"):
        module_named("tx2")
    with pytest.raises(ConfigError, match="FP32 is not planned for"):
        MODULES["agx-orin-64gb"].operations_per_s(Precision.FP32)
    with pytest.raises(InputError, match="not an ONNX file"):
        layers_of(b"nonsense", 64, 64)


@pytest.mark.parametrize("size", ["640", "640x481", "0x32"])
def test_size_that_no_network_takes_is_refused(tiny_bundle, size, capsys):
    from gasedge.cli import main

    assert main(["plan", str(tiny_bundle), "--size", size]) == 2
    assert "--size" in capsys.readouterr().err


def test_command_calls_every_figure_a_planning_estimate(tiny_bundle, capsys):
    import json

    from gasedge.cli import main

    assert main(["plan", str(tiny_bundle), "--size", "128x96", "--fps", "5"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("PLANNING ESTIMATE, nothing was measured")
    assert len(said.splitlines()) == 2 + 2 * len(MODULES)
    command = ["plan", str(tiny_bundle), "--module", "agx-orin-64gb", "--precision", "int8"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "planning estimate" in report["what"]
    (plan,) = report["plans"]
    assert (plan["module"], plan["precision"], plan["width"]) == ("agx-orin-64gb", "int8", 64)
    assert main(["plan", str(tiny_bundle), "--module", "tx2"]) == 2
