"""The learning curve changes the number of gas frames and smoke before them, and nothing else."""

from __future__ import annotations

import json

from train.picture_counts import read_pictures


def stems(run, side, data="gas"):
    return (run / "splits" / data / f"{side}.txt").read_text().split()


def test_the_curve_differs_in_frames_and_smoke_alone(config, study, capsys):
    out = study("transfer", config, "--gas", "gas", "--gas-frames", "4,12", "--seeds", 2)
    told = capsys.readouterr().out
    runs = {run.name: run for run in (out / "runs").iterdir()}
    assert len(runs) == 2 * (1 + 2 * 2)
    for seed in (0, 1):
        smoke = runs[f"smoke-seed{seed}"]
        assert [each.name for each in (smoke / "splits").iterdir()] == ["smoke"]
        few, many = (stems(runs[f"gas{n}-alone-seed{seed}"], "train") for n in (4, 12))
        assert (len(few), len(many)) == (4, 12)
        assert set(few) < set(many)
        for count in (4, 12):
            alone = runs[f"gas{count}-alone-seed{seed}"]
            after = runs[f"gas{count}-after-smoke-seed{seed}"]
            for side in ("train", "val", "test"):
                assert stems(alone, side) == stems(after, side)
            assert not (alone / "initial_weights.json").exists()
            papers = json.loads((after / "initial_weights.json").read_text())
            assert papers["file"] == str((smoke / "checkpoint.pt").absolute())
            assert papers["random"] == []
    assert stems(runs["gas4-alone-seed0"], "train") != stems(runs["gas4-alone-seed1"], "train")
    gas = [name for name in runs if name.startswith("gas")]
    tested = {tuple(p.picture for p in read_pictures(runs[name], "test")) for name in gas}
    assert len(tested) == 1
    for name in gas:
        assert not set(stems(runs[name], "train")) & set(next(iter(tested)))

    facts = json.loads((out / "study.json").read_text())
    assert {facts["steps"][name] for name in gas} == {12}  # two epochs of 12 frames, two at a time
    assert set(facts["gas alone"]) == set(facts["smoke, then gas"]) == {"4", "12"}
    assert len(facts["no gas frames"]["gas-smoke IoU"]["values"]) == 2
    assert "takes 12 steps" in told
    assert "| 4 | smoke, then gas |" in told
    assert (out / "curve.svg").read_text().startswith("<?xml")
    assert "data:image/svg+xml;base64," in (out / "report.html").read_text()


def test_what_cannot_be_a_transfer_is_refused_before_training(config, study, capsys, tmp_path):
    for words, message in (
        (["--gas-frames", "10"], "some must be gas and some smoke; name the gas with --gas"),
        (["--gas", "steam"], "there is no data set steam; they are smoke, gas"),
        (["--gas", "gas", "--gas", "smoke"], "some must be gas and some smoke"),
        (["--gas", "gas", "--gas-frames", "500"], "12 frames are for training, 500 are wanted"),
        (["--gas", "gas", "--gas-frames", "ten"], "expected numbers as 10,50,250"),
        (["--gas", "gas", "--gas-frames", "0"], "every number must be 1 or more"),
    ):
        study("transfer", config, *words, code=2)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()
