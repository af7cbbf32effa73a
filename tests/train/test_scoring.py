"""A training's own scores are those that `gasedge evaluate` gives of its checkpoint."""

from __future__ import annotations

import json

import pytest

from contract.atomic import sha256_of_file
from contract.data_folder import read_stems
from gasedge.cli import main
from tests.train.conftest import TINY
from train.networks.checkpoint import network_from_checkpoint


@pytest.fixture
def smoke_run(smoke_folder, tmp_path):
    config = tmp_path / "smoke.toml"
    config.write_text(TINY.format(epochs=1) + '[[data]]\npath = "smoke"\nrepeat = 2\n')
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_scores_of_a_split_are_those_of_the_command(smoke_run, smoke_folder, capsys):
    kept = json.loads((smoke_run / "scores.json").read_text())
    own = next(each for each in kept if each["data"] == "smoke" and each["split"] == "test")
    capsys.readouterr()
    code = main(
        [
            *("-q", "evaluate", str(smoke_run / "checkpoint.pt"), "--data", str(smoke_folder)),
            *("--list", str(smoke_run / "splits" / "smoke" / "test.txt"), "--json"),
            *("--group", "scene_group"),
        ]
    )
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    # batches of eight round otherwise than single pictures
    assert found["mean_iou"] == pytest.approx(own["scores"]["mean_iou"], abs=2e-3)
    for name, each in own["scores"]["classes"].items():
        assert found["classes"][name] == pytest.approx(each, abs=2e-3), name
    for key in ("gas_smoke_iou", "mean_iou"):
        assert found["intervals"][key] == pytest.approx(own["intervals"][key], abs=2e-3), key
    assert found["boundary"] == pytest.approx(own["boundary"], abs=5e-2)
    assert found["reliability"]["brier"] == pytest.approx(own["reliability"]["brier"], abs=1e-3)
    for key in ("recall_by_plume_size", "empty_scenes"):
        assert len(found[key]) == len(own[key]), key


def test_report_draws_every_tested_set_by_the_code_of_the_command(tiny_run):
    kept = json.loads((tiny_run / "scores.json").read_text())
    tested = [each for each in kept if each["split"] == "test"]
    page = (tiny_run / "report.html").read_text(encoding="utf-8")
    # two of curves; recall and reliability of each set
    assert page.count("<svg") == 2 + 2 * len(tested)
    for each in tested:
        assert f"{each['data']}, test" in page


def test_a_checkpoint_names_the_files_it_was_trained_on_and_no_others(smoke_run, smoke_folder):
    pictures = network_from_checkpoint(smoke_run / "checkpoint.pt").pictures
    assert pictures.complete
    known = pictures.hashes
    for side in ("train", "val", "test"):
        stems = read_stems(smoke_run / "splits" / "smoke" / f"{side}.txt")
        hashes = {sha256_of_file(smoke_folder / "images" / f"{stem}.png") for stem in stems}
        assert hashes <= known if side == "train" else not hashes.intersection(known)
