"""A sweep is many ordinary trainings: it goes on after any stop, and ends in a training's file."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gasedge.cli import main
from tests.train.conftest import TINY
from train import sweep as sweep_module
from train.config import load_train_config
from train.sweep import sweep
from train.sweep_config import Search, load_sweep_config

if TYPE_CHECKING:
    from pathlib import Path

SEARCH = """
[sweep]
"learning.rate" = { low = 1e-4, high = 1e-2, log = true }
"augment.blur" = { choices = [0.0, 0.5] }
"""
SMALL = TINY.replace("width = 64", "width = 32").replace("height = 64", "height = 32")


@pytest.fixture
def file(tmp_path) -> Path:
    pytest.importorskip("optuna", reason="the sweep extra is not installed")
    path = tmp_path / "s.toml"
    path.write_text(SMALL.format(epochs=1) + SEARCH)
    return path


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as table:
        return list(csv.DictReader(table))


def test_a_sweep_leaves_ordinary_runs_a_table_and_the_best_file(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["-q", "sweep", str(file), "--trials", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 trials finished" in said
    rows = rows_of(out)
    assert len(rows) == 2
    for row in rows:
        assert (out / row["run"] / "checkpoint.pt").exists()
        with (out / row["run"] / "metrics.csv").open() as metrics:
            best = max(float(epoch["val/mean_iou"]) for epoch in csv.DictReader(metrics))
        assert float(row["val/mean_iou"]) == pytest.approx(best, abs=1e-4)
    assert float(rows[0]["val/mean_iou"]) >= float(rows[1]["val/mean_iou"])
    best_config = load_train_config(out / "best.toml")
    assert best_config.learning.rate == float(rows[0]["learning.rate"])
    assert best_config.augment.blur == float(rows[0]["augment.blur"])
    assert best_config.input.width == 32
    # enough are done: nothing is trained again
    assert main(["-q", "sweep", str(file), "--trials", "2", "--out", str(out)]) == 0
    assert len(rows_of(out)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_trial_goes_on_in_its_own_folder(file, tmp_path, monkeypatch, how):
    out = tmp_path / "out"
    file.write_text(SMALL.format(epochs=6) + SEARCH)
    start = [sys.executable, "-c", "import sys, train.sweep as s; s._BEAT_S, s._GRACE_S = 1, 3\n"]
    start[-1] += "from gasedge.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [*start, "sweep", str(file), "--trials", "1", "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        state = out / "trial-00000" / "state" / "last.ckpt"
        deadline = time.monotonic() + 300
        while not state.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(how)
        said = process.communicate(timeout=60)[1]
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said.splitlines()[-1] == "gasedge: interrupted"
    else:
        monkeypatch.setattr(sweep_module, "_GRACE_S", 3)
        monkeypatch.setattr(sweep_module, "_BEAT_S", 1)
        time.sleep(4)  # the engine goes by the clock of the storage: no virtual clock can stand in
    result = sweep(load_sweep_config(file), 1, out)
    assert result.finished == 1
    assert [folder.name for folder in sorted(out.glob("trial-*"))] == ["trial-00000"]
    (row,) = rows_of(out)
    assert (row["run"], row["epochs"]) == ("trial-00000", "6")


def test_a_trial_that_lags_behind_is_given_up(file, tmp_path, monkeypatch):
    file.write_text(SMALL.format(epochs=5) + SEARCH)
    import optuna

    # the engine's own other rule: the median needs five trials to compare with
    monkeypatch.setattr(
        optuna.pruners, "MedianPruner", lambda **_: optuna.pruners.ThresholdPruner(lower=0.99)
    )
    out = tmp_path / "out"
    assert main(["-q", "sweep", str(file), "--trials", "1", "--out", str(out)]) == 1
    (row,) = rows_of(out)
    assert (row["state"], row["epochs"]) == ("pruned", "1")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('"learning.rat" = { low = 1e-4, high = 1e-2 }', "is no setting of a training"),
        ('"learning.rate" = { low = 1e-4, high = 3.0 }', "less than 1"),
        ('"learning.rate" = { low = 1e-2, high = 1e-4 }', "give low and a higher high"),
        ('"learning.rate" = { low = 0.0, high = 0.1, log = true }', "log needs a low above 0"),
        ('"network.name" = { choices = ["a"], low = 1 }', "not both"),
    ],
)
def test_a_wrong_search_is_one_line(tmp_path, capsys, table, said):
    path = tmp_path / "s.toml"
    path.write_text(SMALL.format(epochs=1) + f"[sweep]\n{table}\n")
    assert main(["sweep", str(path), "--trials", "1", "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_sweeps_file_is_checked_as_one(file, capsys):
    assert main(["config", "check", str(file)]) == 0
    assert "OK, a sweep's configuration" in capsys.readouterr().out


def test_a_sweep_goes_on_only_under_its_own_file(file, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text("{}")
    assert main(["sweep", str(file), "--trials", "1", "--out", str(tmp_path / "out")]) == 2
    assert "begun with another file" in capsys.readouterr().err


def test_whole_numbers_are_searched_as_whole_numbers():
    import optuna

    trial = optuna.trial.FixedTrial({"a": 8, "b": 2.0})
    assert Search(low=4, high=16, step=4).suggested(trial, "a") == 8
    assert isinstance(Search(low=1.0, high=4).suggested(trial, "b"), float)
