from __future__ import annotations

import json
from itertools import count

import numpy as np
import pytest

from contract.bundle import Bundle
from contract.timing import speed_up, time_in_turns
from gasedge.cli import main


class _Slow:
    """Takes so many ticks of a virtual clock."""

    def __init__(self, clock, ticks):
        self.clock, self.ticks = clock, ticks

    def segment(self, frames):
        for _ in range(self.ticks):
            next(self.clock)


def test_contestants_take_turns_and_ratios_are_of_the_same_round():
    clock = count(0, 1_000_000)
    found = time_in_turns(
        {"slow": _Slow(clock, 29), "fast": _Slow(clock, 9)},
        np.zeros((2, 1)),
        rounds=3,
        calls=4,
        warm_up=1,
        clock_ns=lambda: next(clock),
    )
    assert found["slow"].rounds == ((30.0,) * 4,) * 3
    assert found["fast"].percentile(99) == 10.0
    assert found["fast"].frames_per_second == pytest.approx(200)
    assert speed_up(found["fast"], found["slow"]) == 3.0


def test_bench_times_what_runs_and_says_why_the_rest_does_not(calibrated_original, capsys):
    arguments = ["bench", str(calibrated_original), "--rounds", "2", "--calls", "3", "--json"]
    assert main(["-q", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    ran = {(each["backend"], each["precision"]): each for each in found["runs"]}
    assert {("openvino", p) for p in ("fp32", "fp16", "int8")} <= ran.keys()
    assert ran["openvino", "fp32"]["times_fp32"] == 1.0
    for each in ran.values():
        assert 0 < each["median_ms"] <= each["p90_ms"] <= each["p99_ms"]
        assert each["calls"] == 6
    absent = {each["backend"]: each["reason"] for each in found["not_run"]}
    assert "tensorrt" in {**absent, **{backend: "" for backend, _ in ran}}
    assert all(absent.values())
    assert found["machine"]
    assert found["versions"]["gasedge"]


def test_a_backend_with_wrong_masks_is_not_timed(calibrated, capsys):
    bundle = Bundle.open(calibrated)
    first = bundle.manifest.golden[0]
    other = bundle.read(bundle.manifest.golden[1].mask("fp32"))
    bundle.updated({first.mask("fp32"): other})
    arguments = ["bench", str(calibrated), "--backend", "openvino", "--precision", "fp32"]
    assert main(["-q", *arguments]) == 1
    said = capsys.readouterr()
    assert "does NOT give the golden masks" in said.out
    assert "nothing of what was asked for runs" in said.err
