"""Two configurations meet on the same pictures, seed by seed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contract.scores import gas_iou_of
from train.picture_counts import PictureCounts
from train.study.compare import _over_groups


def other(config, *changes):
    file = config.with_name("other.toml")
    text = config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    return file


def test_equal_configurations_differ_by_nothing(config, study):
    facts = json.loads(
        (study("compare", config, other(config), "--seeds", 2) / "study.json").read_text()
    )
    assert set(facts["data"]) == {"smoke", "gas", "all of them"}
    for measures in facts["data"].values():
        for each in measures.values():
            first, again = each["first"]["values"]
            assert 0.2 < first < 0.95
            assert first != again  # seeds differ, configurations do not
            assert each["difference"]["values"] == [0, 0]
            assert each["difference"]["interval_95"] == [0, 0]
        groups = measures["gas-smoke IoU"]["over_groups"]
        assert (groups["low"], groups["high"]) == (0, 0)


def test_the_second_keeps_the_splits_of_the_first_and_adds_its_own_data(config, study, capsys):
    richer = other(
        config,
        ("[input]", '[[simulated]]\nkind = "gas"\nscenes = 8\nframes = 1\n[input]'),
        ("near_duplicates = false", "near_duplicates = false\nseed = 9"),
        ("epochs = 2", "epochs = 1"),
    )
    out = study("compare", config, richer, "--seeds", 1)
    told = capsys.readouterr().out
    first, second = (out / "runs" / f"{name}-seed0" for name in ("base", "other"))
    for data in ("smoke", "gas"):
        for side in ("train", "val", "test"):
            lists = [run / "splits" / data / f"{side}.txt" for run in (first, second)]
            assert lists[0].read_text() == lists[1].read_text()
    assert (second / "splits" / "simulated-gas" / "train.txt").read_text()
    facts = json.loads((out / "study.json").read_text())
    assert "simulated-gas" not in facts["data"]
    row = facts["data"]["gas"]["gas-smoke IoU"]
    assert row["difference"]["mean"] == pytest.approx(row["second"]["mean"] - row["first"]["mean"])
    # one seed has no interval over seeds
    assert row["difference"]["interval_95"] is None
    assert "| gas | gas-smoke IoU |" in told


def test_what_cannot_be_compared_is_refused(config, study, capsys):
    for changes, message in (
        ([("width = 32", "width = 64")], "differ in [input]"),
        ([('"smoke"\n', '"smoke"\nlimit = 9\n')], "data set smoke differs in limit"),
    ):
        study("compare", config, other(config, *changes), code=2)
        assert message in capsys.readouterr().err
    study("compare", config, config, code=2)
    assert "both configurations are named base" in capsys.readouterr().err


def test_the_interval_over_groups_pairs_what_stands_in_the_same_group():
    def pictures(gain):
        return [
            PictureCounts(
                "d", "test", f"p{n}", str(n // 2), np.diag([80, 10 + n, 0]) + gain(n // 2)
            )
            for n in range(20)
        ]

    # groups are hard in very different ways, and the second is a little better in each
    def misses(group, fewer):
        return np.array([[0, 0, 0], [8 * group + 6 - fewer, fewer, 0], [0, 0, 0]])

    first = pictures(lambda group: misses(group, 0))
    second = pictures(lambda group: misses(group, 2))
    found = _over_groups([(first, second), (first, second)], gas_iou_of)
    assert found is not None
    assert found.n_groups == 10
    whole = [sum(each.counts for each in side) for side in (first, second)]
    assert found.value == pytest.approx(float(gas_iou_of(whole[1]) - gas_iou_of(whole[0])))
    assert 0 < found.low < found.value < found.high
    swapped = _over_groups([(second, first)], gas_iou_of)
    assert swapped.high < 0
