"""The starter bundle is whole, small, runs, and says of itself what it is."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from contract.bundle import Bundle, graph_name
from contract.errors import GasedgeError
from contract.precision import Precision
from contract.scores import ScoreBoard
from contract.simulated_scene import SimulatedScene
from edge_runtime.backends.known_answer import known_answer_test
from edge_runtime.backends.open import open_backend
from gasedge.cli import cli
from gasedge.starter import CARD, STARTER


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    out = tmp_path_factory.mktemp("starter") / "mine.gasedge"
    done = CliRunner().invoke(cli, ["starter", str(out)])
    assert done.exit_code == 0, done.output
    return Bundle.open(out)


def test_every_file_of_the_copy_is_whole(copy):
    copy.verify()
    assert {Precision.FP16, Precision.INT8} <= set(copy.precisions)


def test_the_int8_graph_has_at_most_8_megabytes(copy):
    assert copy.manifest.files[graph_name(Precision.INT8)].size <= 8e6


def test_it_was_trained_on_simulated_frames_only(copy):
    assert all(
        part.strip().startswith("simulated-") for part in copy.manifest.training["data"].split(";")
    )
    assert str(copy.manifest.training["start"]) == "random start"


def test_it_passes_its_known_answer_test_and_sees_simulated_gas(copy):
    pytest.importorskip("openvino")
    geometry = copy.manifest.input
    board = ScoreBoard(range(3))
    with open_backend(copy, Precision.INT8) as segmenter:
        assert known_answer_test(segmenter, copy, Precision.INT8).passed
        for seed in range(40):
            scene = SimulatedScene("gas", geometry.width, geometry.height, 910_000 + seed)
            frame, truth = scene.frame(40)
            board.add(truth, segmenter.segment(frame[None]).mask[0], name=str(seed))
    gas = board.scores().classes["gas-smoke"]
    assert gas.truth_pixels > 0
    assert gas.iou > 0.3


def test_the_card_is_of_this_bundle(copy):
    shown = CliRunner().invoke(cli, ["starter"])
    assert copy.manifest.model_id in shown.output
    assert CARD.read_text(encoding="utf-8").startswith("# Starter bundle: model card")


def test_the_checkpoint_is_the_network_of_the_bundle(copy, tmp_path):
    pytest.importorskip("openvino")
    from train.networks.torch_segmenter import TorchSegmenter

    done = CliRunner().invoke(cli, ["starter", "--checkpoint", str(tmp_path / "starter.pt")])
    assert done.exit_code == 0, done.output
    geometry = copy.manifest.input
    scene = SimulatedScene("gas", geometry.width, geometry.height, 910_000)
    frames = np.stack([scene.frame(at)[0] for at in (20, 40, 60)])
    with (
        TorchSegmenter.from_checkpoint(tmp_path / "starter.pt") as learned,
        open_backend(copy, Precision.FP16) as exported,
    ):
        assert learned.model_id == copy.manifest.model_id
        expected = np.concatenate([exported.segment(frame[None]).mask for frame in frames])
        masks = learned.segment(frames).mask
    assert len(np.unique(masks)) > 1
    assert np.mean(masks == expected) > 0.999


def test_nothing_is_written_over(copy):
    refused = CliRunner().invoke(cli, ["starter", str(copy.path)])
    assert isinstance(refused.exception, GasedgeError)
    assert Bundle.open(STARTER).manifest_sha256 == copy.manifest_sha256
