"""A network that FP16 cannot hold is refused, and its layer is named."""

from __future__ import annotations

import pytest
import torch

from calibration.half_core import require_half_range as require_of_calibration
from contract.errors import CheckError
from export.bundle import bundle_from_network
from export.half_range import largest_activations, require_half_range
from tests.bundles import TINY, tiny_pictures
from train.networks.frame_network import FrameNetwork


def network(gain: float) -> FrameNetwork:
    """Two convolutions whose middle is `gain` times as large and whose end is not."""
    torch.manual_seed(1)
    core = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 1))
    with torch.no_grad():
        core[0].weight.mul_(gain)
        core[0].bias.mul_(gain)
        core[2].weight.div_(gain)
    return FrameNetwork(core).eval()


def fp32_graph(gain: float) -> bytes:
    from export.deploy_graph import onnx_from_network

    return onnx_from_network(network(gain), TINY)


def test_a_network_beyond_fp16_leaves_no_bundle_and_its_layer_is_named(tmp_path):
    golden = list(tiny_pictures())
    out = tmp_path / "wide.gasedge"
    with pytest.raises(CheckError, match=r"2 of 3 activations leave .* 65504 \(conv2d .*, relu "):
        bundle_from_network(
            network(1e6), TINY, out, model_id="wide", training={}, golden_frames=golden
        )
    assert not out.exists()


def test_what_comes_close_is_told(caplog):
    caplog.set_level("WARNING")
    graph, frames = fp32_graph(1.0), tiny_pictures()
    reached = largest_activations(graph, frames)
    assert set(reached) == {"conv2d", "relu", "conv2d_1"}
    require_half_range(graph, frames)
    assert caplog.messages == []
    require_half_range(fp32_graph(40000 / reached["conv2d"]), frames)
    assert "activation conv2d reaches 40000 on 4 frames" in caplog.text


def test_calibration_refuses_what_its_frames_drive_beyond_fp16():
    require_of_calibration({"relu": 65504.0})
    with pytest.raises(CheckError, match=r"1 of 2 activations .*\(relu_1 7e\+04\)"):
        require_of_calibration({"relu": 3.0, "relu_1": 70000.0})
