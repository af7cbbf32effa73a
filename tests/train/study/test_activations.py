"""The study's first table on our data, by one command that goes on where it was stopped."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from train.losses import segmentation_loss
from train.networks.checkpoint import network_from_checkpoint
from train.picture_counts import read_pictures
from train.study import runner
from train.study.measures import measures_of


def checkpoints(out):
    return {file.parent.name: file.stat().st_mtime_ns for file in out.glob("runs/*/checkpoint.pt")}


def test_every_activation_is_trained_with_every_seed_on_the_same_pictures(config, study, capsys):
    out = study("activations", config, "--seeds", 2)
    told = capsys.readouterr().out
    arms = [f"{each}-seed{n}" for each in ("linear", "sigmoid", "softmax") for n in (0, 1)]
    assert sorted(checkpoints(out)) == arms
    tested = {arm: [p.picture for p in read_pictures(out / "runs" / arm, "test")] for arm in arms}
    assert len(tested[arms[0]]) == 8  # four groups of two
    assert all(each == tested[arms[0]] for each in tested.values())
    for arm in arms:
        network = network_from_checkpoint(out / "runs" / arm / "checkpoint.pt").network
        assert network.activation == arm.partition("-")[0]

    facts = json.loads((out / "study.json").read_text())
    for name, of_study in (("linear", 0.34182), ("sigmoid", 0.80855), ("softmax", 0.84532)):
        assert facts["study_of_2020"][name]["mean IoU"] == of_study
        ours = facts["ours"][name]["image mean IoU"]
        runs = [out / "runs" / f"{name}-seed{n}" for n in (0, 1)]
        wanted = [measures_of(read_pictures(run, "test"))["image mean IoU"] for run in runs]
        assert ours["values"] == wanted
        assert ours["mean"] == pytest.approx(sum(wanted) / 2)
        assert f"{ours['mean']:.4f} ± " in told
    assert told.count("| softmax |") == 2
    assert "0.84532" in told
    page = (out / "report.html").read_text()
    assert "softmax-seed0: worst" in page
    assert page.count("<figure>") >= 3 * 2
    assert not list(out.glob("runs/*/state"))


def test_a_stopped_study_goes_on_and_does_nothing_twice(config, study, monkeypatch):
    real, begun = runner.train, []

    def stopped(config, run):
        begun.append(run.name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return real(config, run)

    monkeypatch.setattr(runner, "train", stopped)
    out = study("activations", config, "--seeds", 1, code=130)
    kept = checkpoints(out)
    assert sorted(kept) == ["linear-seed0", "sigmoid-seed0"]
    assert not (out / "study.json").exists()
    monkeypatch.setattr(runner, "train", real)
    study("activations", config, "--seeds", 1)
    assert kept.items() <= checkpoints(out).items()
    assert (out / "study.json").exists()
    shutil.rmtree(out / "runs" / "linear-seed0")
    study("activations", config, "--seeds", 1)
    assert checkpoints(out)["sigmoid-seed0"] == kept["sigmoid-seed0"]


def test_a_study_of_other_settings_is_not_taken_for_this_one(config, study, capsys):
    study("activations", config, "--seeds", 1)
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 1"))
    study("activations", config, "--seeds", 1, code=2)
    assert "trained with other settings in learning" in capsys.readouterr().err


def test_the_loss_of_the_test_is_the_one_it_was_taught_with(config, study):
    out = study("activations", config, "--seeds", 1)
    from train.config import load_train_config
    from train.datasets import ValidationFrames, gather
    from train.study.runner import listed

    settings = listed(load_train_config(config), out)
    data_sets = gather(settings)
    for name in ("linear", "sigmoid", "softmax"):
        run = out / "runs" / f"{name}-seed0"
        network = network_from_checkpoint(run / "checkpoint.pt").network
        losses = []
        for frame, truth, number, _ in ValidationFrames(data_sets, "test", settings.input):
            with torch.no_grad():
                losses.append(
                    segmentation_loss(
                        network(frame[None]),
                        truth[None],
                        torch.tensor([data_sets[number].machines_known]),
                        dice_weight=1,
                        gas_weight=2,
                        activation=name,
                    )
                )
        told = json.loads((out / "study.json").read_text())["ours"][name]["loss"]["mean"]
        assert told == pytest.approx(float(sum(losses)) / len(losses), rel=1e-4)
