"""The deploy graph says what the network says, in a form that every TensorRT reads."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from contract.bundle import Bundle
from contract.geometry import InputGeometry
from contract.precision import Precision
from export.deploy_graph import DeployGraph, onnx_from_network
from export.reference_run import run_reference
from tests.bundles import tiny_pictures
from train.networks.frame_network import FrameNetwork

SMALL = InputGeometry(width=32, height=32)


@pytest.fixture(scope="module", params=[Precision.FP32, Precision.FP16])
def graph(request, tiny_bundle_original):
    return Bundle.open(tiny_bundle_original).graph(request.param)


@pytest.fixture(scope="module")
def channels_as_logits():
    """A network whose logits are the three channels of the frame, so that ties can be painted."""
    core = torch.nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        core.weight.copy_(torch.eye(3)[..., None, None] / 16)
        core.bias.zero_()
    return FrameNetwork(core, mean=(0,) * 3, std=(1,) * 3).eval()


def test_graph_is_one_file_of_opset_17_with_free_batch_and_bytes_in_and_out(graph):
    model = onnx.load_from_string(graph)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    sizes = {"frames": [64, 64, 3], "mask": [64, 64], "score": [64, 64]}
    for value in (*model.graph.input, *model.graph.output):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.UINT8
        assert tensor.shape.dim[0].dim_param == "N"
        assert [d.dim_value for d in tensor.shape.dim[1:]] == sizes.pop(value.name)
    assert not sizes


def test_graph_holds_nothing_that_tensorrt_is_known_to_reject(graph):
    model = onnx.load_from_string(graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    assert not [t for t in constants.values() if t.data_type == onnx.TensorProto.UINT8]
    takers = [node.op_type for node in model.graph.node if "frames" in node.input]
    assert takers == ["Cast"]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    for node in model.graph.node:
        if node.op_type == "Resize":
            assert len(node.input) == 3
            assert constants[node.input[2]].data_type == onnx.TensorProto.FLOAT
        if node.output[0] in ("mask", "score"):
            assert node.op_type == "Cast"
            assert types[node.input[0]] == onnx.TensorProto.FLOAT
    assert {"Shape", "If", "Loop", "NonZero"}.isdisjoint(n.op_type for n in model.graph.node)


def test_graph_carries_no_path_of_the_machine_that_made_it(graph):
    for folder in (Path(__file__).parents[2], Path(torch.__file__).parent):
        assert str(folder).encode() not in graph


def test_fp16_graph_computes_in_half_and_scores_in_float(tiny_bundle_original):
    model = onnx.load_from_string(Bundle.open(tiny_bundle_original).graph(Precision.FP16))
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(
        types[name] == onnx.TensorProto.FLOAT16 for n in convolutions for name in n.input[1:]
    )


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_ties_go_to_the_same_class_as_in_torch_and_scores_are_rounded(
    channels_as_logits, precision
):
    levels = (0, 1, 64, 200, 255)
    colours = np.array(list(itertools.product(levels, repeat=3)), np.uint8)
    assert any(a == b >= c for a, b, c in colours)
    frame = np.resize(colours, (1, 32, 32, 3))
    graph = onnx_from_network(channels_as_logits, SMALL, precision)
    found = run_reference(graph, frame)
    with torch.no_grad():
        logits = channels_as_logits(torch.from_numpy(frame))
        mask, score = DeployGraph(channels_as_logits, precision)(torch.from_numpy(frame))
    np.testing.assert_array_equal(found.mask, logits.argmax(1).numpy())
    np.testing.assert_array_equal(found.mask, mask.numpy())
    np.testing.assert_array_equal(found.score, score.numpy())
    np.testing.assert_allclose(found.score / 255, logits.softmax(1)[:, 1].numpy(), atol=0.6 / 255)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_score_is_the_probability_that_the_activation_means(activation):
    core = torch.nn.Conv2d(3, 3, 1)
    network = FrameNetwork(core, activation=activation).eval()
    frame = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    found = run_reference(onnx_from_network(network, SMALL), frame)
    with torch.no_grad():
        logits = network(torch.from_numpy(frame))
    gas = logits[:, 1]
    wanted = {
        "softmax": gas.exp() / logits.exp().sum(1),
        "sigmoid": 1 / (1 + (-gas).exp()),
        "linear": gas.clip(0, 1),
    }
    np.testing.assert_array_equal(found.mask, logits.argmax(1).numpy())
    np.testing.assert_allclose(found.score / 255, wanted[activation].numpy(), atol=0.6 / 255)


def test_each_frame_of_a_batch_is_answered_as_if_it_came_alone(graph):
    frames = tiny_pictures(3)
    together = run_reference(graph, frames)
    for index, frame in enumerate(frames):
        alone = run_reference(graph, frame[None])
        np.testing.assert_array_equal(together.mask[index], alone.mask[0])
        np.testing.assert_array_equal(together.score[index], alone.score[0])


def test_same_network_gives_the_same_bytes(channels_as_logits):
    first, second = (onnx_from_network(channels_as_logits, SMALL) for _ in range(2))
    assert first == second


def test_exporting_changes_nothing_in_the_network(channels_as_logits):
    onnx_from_network(channels_as_logits, SMALL, Precision.FP16)
    assert isinstance(channels_as_logits.core, torch.nn.Conv2d)
    assert channels_as_logits.core.weight.dtype == torch.float32
