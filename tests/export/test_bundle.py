"""Checkpoint -> bundle: whole and proven, or nothing at all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from contract.bundle import Bundle
from contract.errors import CheckError, ConfigError
from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE
from contract.pictures import read_picture
from contract.precision import Precision
from export.bundle import bundle_from_checkpoint, bundle_from_network
from export.golden_frames import choose_golden, simulated_frames
from export.reference_run import run_reference
from gasedge.cli import main
from tests.bundles import TINY, tiny_pictures
from train.networks import registry
from train.networks.checkpoint import save_checkpoint
from train.networks.frame_network import FrameNetwork

WIDE = InputGeometry(width=96, height=64)


class TellsTheExporterSomethingElse(FrameNetwork):
    """Adds to the gas logit only while it is traced: graph and network disagree."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Conv2d(3, 3, 1))

    def forward(self, frames):
        logits = self.core(frames.float().permute(0, 3, 1, 2) / 255)
        logits = (
            logits
            + (frames[..., 0].float()[:, None] > 120)
            * torch.tensor([0.0, 9, 0])[None, :, None, None]
        )
        if torch.compiler.is_exporting():
            logits = logits + torch.tensor([0.0, 0.3, 0.0])[None, :, None, None]
        return logits


def sees_bright_things_as_gas() -> FrameNetwork:
    core = torch.nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        core.weight.copy_(torch.tensor([-5.0, 5, 0])[:, None, None, None])
        core.bias.copy_(torch.tensor([0.0, -10, -3]))
    return FrameNetwork(core).eval()


def test_graph_that_disagrees_with_its_network_leaves_no_bundle(tmp_path):
    out = tmp_path / "wrong.gasedge"
    with pytest.raises(CheckError, match="fp32 graph disagrees with its network on frame frame-0"):
        bundle_from_network(
            TellsTheExporterSomethingElse().eval(),
            TINY,
            out,
            model_id="wrong",
            training={},
            golden_frames=list(tiny_pictures()),
        )
    assert list(tmp_path.iterdir()) == []


def test_golden_masks_are_what_each_graph_gives_and_show_gas(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    gas = 0
    for precision in (Precision.FP32, Precision.FP16):
        assert 0 < bundle.manifest.golden_tolerance[precision] <= 0.02
        for entry in bundle.manifest.golden:
            frame = read_picture(tiny_bundle / entry.frame)
            stored = cv2.imdecode(
                np.frombuffer(bundle.read(entry.mask(precision)), np.uint8), cv2.IMREAD_UNCHANGED
            )
            assert stored.dtype == np.uint8
            found = run_reference(bundle.graph(precision), frame[None]).mask[0]
            np.testing.assert_array_equal(stored, found)
            gas += (stored == GAS_SMOKE).sum()
    assert gas > 0


def test_checkpoint_becomes_a_bundle_by_the_command(tmp_path, monkeypatch, capsys):
    network = sees_bright_things_as_gas()
    monkeypatch.setitem(registry.NETWORKS, "tiny", lambda: torch.nn.Conv2d(3, 3, 1))
    checkpoint, out = tmp_path / "model.ckpt", tmp_path / "model.gasedge"
    save_checkpoint(
        checkpoint,
        network,
        name="tiny",
        geometry=WIDE,
        model_id="tiny-1",
        training={"steps": 3, "data": "none"},
    )
    golden = tmp_path / "golden"
    golden.mkdir()
    for number, picture in enumerate(tiny_pictures(3, size=80)):
        cv2.imwrite(str(golden / f"{number}.png"), picture)
    assert main(["export", str(checkpoint), "--out", str(out), "--golden", str(golden)]) == 0
    assert str(out) in capsys.readouterr().out
    bundle = Bundle.open(out)
    bundle.verify()
    assert bundle.manifest.model_id == "tiny-1"
    assert bundle.manifest.training == {"steps": 3, "data": "none"}
    assert bundle.manifest.input == WIDE
    assert {"torch", "onnx"} <= bundle.manifest.tools.keys()
    with pytest.raises(ConfigError, match="already there"):
        bundle_from_checkpoint(checkpoint, out)


def test_missing_checkpoint_is_one_line_and_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "model.gasedge"
    assert main(["export", str(tmp_path / "none.ckpt"), "--out", str(out)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_wrong_name_for_a_bundle_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.gasedge"):
        bundle_from_network(None, TINY, tmp_path / "bundle", model_id="x", training={})


def test_blind_network_is_refused_because_its_golden_test_would_prove_nothing():
    probabilities = np.zeros((4, 3, 8, 8), np.float32)
    probabilities[:, 0] = 1
    with pytest.raises(CheckError, match="--golden DIR"):
        choose_golden(np.zeros((4, 8, 8, 3), np.uint8), probabilities)


def test_golden_frames_are_two_with_gas_and_two_without_and_the_surest():
    probabilities = np.zeros((8, 3, 8, 8), np.float32)
    for index in range(8):
        sure = 0.6 + 0.04 * index
        probabilities[index, 0] = sure
        probabilities[index, 2] = 1 - sure
        if index % 2:
            probabilities[index, :2, :4] = probabilities[index, 1::-1, :4]
    assert choose_golden(np.zeros((8, 8, 8, 3), np.uint8), probabilities) == [4, 5, 6, 7]


def test_simulated_golden_candidates_are_the_same_every_time_and_fit_the_input():
    first = simulated_frames(WIDE)
    assert first.shape[1:] == (64, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, simulated_frames(WIDE))
