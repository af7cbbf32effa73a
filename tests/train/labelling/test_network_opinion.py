"""Self-training listens to a network as far as it has earned, and never against still pixels."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from contract.config import read_toml
from contract.data_folder import DataFolder
from contract.errors import ConfigError
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE
from tests.project.source_tree import ROOT
from train.labelling.network_opinion import agreement, with_opinion
from train.labelling.self_training import load_self_training_config, self_training

TINY = """
[simulated]
scenes = 4
frames = 16
onset = 4
large = true
[input]
width = 64
height = 64
[split]
val = 0.25
test = 0.25
near_duplicates = false
[network]
name = "unet-plain"
options = { width = 8 }
[learning]
epochs = 1
batch = 4
rate = 2e-3
precision = "fp32"
"""


def one(label: int, weight: float, score: float, trust: float = 1.0) -> tuple[int, float]:
    mask = np.full((1, 1), label, np.uint8)
    weights, scores = (np.full((1, 1), each, np.float32) for each in (weight, score))
    decided, sure = with_opinion(mask, weights, scores, trust)
    return int(decided[0, 0]), float(sure[0, 0])


def test_what_has_not_changed_stays_background_whatever_the_network_says():
    label, weight = one(BACKGROUND, 1.0, 0.99)
    assert label == BACKGROUND
    assert weight < 0.6  # but it is doubted


def test_a_puff_outside_the_boxes_becomes_gas_when_the_network_knows_it():
    label, weight = one(IGNORE, 0.0, 0.95)
    assert label == GAS_SMOKE
    assert 0.3 < weight < 0.95


def test_change_that_the_network_does_not_know_is_hardly_called_background():
    label, weight = one(IGNORE, 0.0, 0.05)
    assert label == BACKGROUND
    assert weight < 0.3
    assert one(IGNORE, 0.0, 0.5) == (IGNORE, 0.0)


def test_agreement_makes_sure_and_contradiction_unsure():
    agreed, contradicted = one(GAS_SMOKE, 0.5, 0.9)[1], one(GAS_SMOKE, 0.9, 0.1)[1]
    assert agreed > 0.5
    assert contradicted < 0.9


def test_a_doubtful_background_becomes_no_surer_because_the_network_sees_nothing():
    label, weight = one(BACKGROUND, 0.3, 0.02)
    assert label == BACKGROUND
    assert weight == pytest.approx(0.3)
    assert one(BACKGROUND, 0.3, 0.95)[0] == GAS_SMOKE


def test_a_network_that_has_learned_nothing_changes_no_label():
    random = np.random.default_rng(0)
    mask = random.choice(np.array([BACKGROUND, GAS_SMOKE], np.uint8), (32, 32))
    weight = np.ones((32, 32), np.float32)
    says_gas_everywhere = np.ones((32, 32), np.float32)
    assert agreement([(mask, weight, says_gas_everywhere)]) == 0
    knows = np.where(mask == GAS_SMOKE, 0.9, 0.1).astype(np.float32)
    assert agreement([(mask, weight, knows)]) == 1
    assert agreement([(np.zeros_like(mask), weight, knows)]) == 0  # no gas to tell by
    unsure = random.uniform(0.3, 1, (32, 32)).astype(np.float32)
    decided, _ = with_opinion(mask, unsure, says_gas_everywhere, 0.0)
    assert (decided == mask).all()


@pytest.mark.slow
def test_self_training_compares_three_labels_on_one_split_and_relabels_only_train(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    script = [sys.executable, str(ROOT / "scripts" / "self_training")]
    command = [*script, str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    groups = [set(report["split"][side]) for side in ("train", "val", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 4
    for kind in ("boxes", "change", "network"):
        scores = report["mean_over_seeds"][kind]
        assert {"pointing_maximum", "gas_inside_box", "gas_iou"} <= scores.keys()
    quality = report["labels_of_train_against_truth"]
    assert quality["change"][0]["gas_iou"] > 0.3
    assert quality["change"][0]["wrong_by_weight"] < 0.05

    change = DataFolder.open(tmp_path / "out" / "labels-change")
    again = DataFolder.open(tmp_path / "out" / "labels-network-0")
    with (tmp_path / "out" / "labels-change" / "index.csv").open() as file:
        group = {row["image"][:-4]: row["group"] for row in csv.DictReader(file)}
    held_out = [stem for stem in change.names if group[stem] not in report["split"]["train"]]
    for stem in held_out:
        assert (change.read(stem)[1] == again.read(stem)[1]).all()


def test_the_examples_are_valid_and_a_file_without_a_clip_is_refused(tmp_path, monkeypatch):
    example = ROOT / "docs" / "examples" / "self-training.toml"
    for name in ("images", "labels"):
        (tmp_path / "gasvid_ir" / name).mkdir(parents=True)
    monkeypatch.setenv("GASEDGE_DATA", str(tmp_path))
    config = load_self_training_config(example)
    assert config.clip == str(tmp_path / "gasvid_ir")
    assert read_toml(example)["split"]["near_duplicates"] is False
    simulated = ROOT / "docs" / "examples" / "self-training-simulated.toml"
    assert load_self_training_config(simulated).simulated is not None
    (tmp_path / "none.toml").write_text("seeds = [1]\n")
    with pytest.raises(ConfigError, match="give either clip or a"):
        load_self_training_config(tmp_path / "none.toml")
    config = config.model_copy(update={"clip": str(tmp_path)})
    with pytest.raises(Exception, match="is already there"):
        self_training(config, tmp_path)
