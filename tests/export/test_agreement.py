"""A graph that does not say what its network says is refused: by how much, on which frame."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from contract.bundle import Bundle
from contract.errors import CheckError
from contract.precision import Precision
from contract.segmenter import Segmentation
from export.agreement import agreement, network_probabilities, require_agreement
from export.reference_run import run_reference
from tests.bundles import tiny_network, tiny_pictures
from train.networks.frame_network import FrameNetwork

NAMES = ["first", "second"]


@pytest.fixture(scope="module")
def frames():
    return tiny_pictures(2)


@pytest.fixture(scope="module")
def probabilities(frames):
    return network_probabilities(tiny_network(), frames)


@pytest.fixture(scope="module")
def bundle(tiny_bundle_original):
    return Bundle.open(tiny_bundle_original)


def with_head_changed(graph: bytes, change) -> bytes:
    model = onnx.load_from_string(graph)
    head = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    for tensor in model.graph.initializer:
        if tensor.name == head.input[2]:
            bias = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(change(bias.copy()), tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_honest_graph_agrees_and_differs_only_where_the_network_is_undecided(
    bundle, frames, probabilities, precision
):
    found = require_agreement(
        probabilities, run_reference(bundle.graph(precision), frames), precision, NAMES
    )
    for each in found:
        assert each.wrong <= 1e-3
        assert each.differing <= each.undecided
        assert each.undecided < 0.2


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_broken_graph_is_refused_by_name_and_number(bundle, frames, probabilities, precision):
    broken = with_head_changed(
        bundle.graph(precision), lambda bias: bias + np.array([0, 0.5, 0], bias.dtype)
    )
    with pytest.raises(
        CheckError, match=r"frame first: \d+\.\d+% of the pixels are wrong"
    ) as error:
        require_agreement(probabilities, run_reference(broken, frames), precision, NAMES)
    assert error.value.exit_code == 3


def test_one_wrong_pixel_of_an_fp32_graph_is_too_many(bundle, frames, probabilities):
    result = run_reference(bundle.graph(Precision.FP32), frames)
    mask = result.mask.copy()
    sure = np.unravel_index(probabilities[1].max(0).argmax(), mask.shape[1:])
    mask[(1, *sure)] = (mask[(1, *sure)] + 1) % 3
    with pytest.raises(CheckError, match="frame second"):
        require_agreement(probabilities, Segmentation(mask, result.score), Precision.FP32, NAMES)


def test_undecided_pixel_may_go_either_way():
    probabilities = np.full((3, 1, 2), 1 / 3, np.float32)
    score = np.full((1, 2), 85, np.uint8)
    seen = agreement(probabilities, np.array([[0, 2]], np.uint8), score, Precision.FP32)
    assert seen.wrong == 0
    assert seen.differing == 0.5
    assert seen.undecided == 1


def test_class_that_does_not_exist_is_wrong():
    probabilities = np.full((3, 1, 1), 1 / 3, np.float32)
    seen = agreement(
        probabilities, np.array([[7]], np.uint8), np.array([[85]], np.uint8), Precision.FP16
    )
    assert seen.wrong == 1


def test_network_that_gives_no_numbers_is_refused(frames):
    class Broken(FrameNetwork):
        def forward(self, frames):
            return torch.full((1, 3, 64, 64), float("nan"))

    with pytest.raises(CheckError, match="not numbers"):
        network_probabilities(Broken(torch.nn.Identity()), frames)
