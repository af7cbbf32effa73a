"""The simulated camera: plumes that begin, and faults at set times."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.config import HealthConfig
from edge_runtime.sources.faults import Fault, faults
from edge_runtime.sources.replay import replayed_pictures, replayed_shots
from edge_runtime.sources.uri import parse_source
from edge_runtime.supervision import look_at

BASE = "sim:seed=3&width=96&height=64&fps=10&frames=40"


def pictures_of(options: str):
    fps, pictures = replayed_pictures(parse_source(f"{BASE}&{options}"))
    assert fps == 10
    return list(pictures)


def test_a_plume_begins_at_its_onset_and_not_before():
    plume, clear = pictures_of("onset=2&large"), pictures_of("plume=0&large")
    changed = [float((a != b).mean()) for a, b in zip(plume, clear, strict=True)]
    assert max(changed[:20]) == 0.0
    assert changed[39] > 0.01


def test_a_lost_camera_gives_no_picture_while_it_lasts():
    pictures = pictures_of("fault=lost@1..2")
    assert [k for k, picture in enumerate(pictures) if picture is None] == list(range(10, 20))
    shots = list(replayed_shots(parse_source(f"{BASE}&fault=lost@1..2&every")))
    assert len(shots) == 30


def test_a_frozen_camera_repeats_its_last_picture():
    pictures = pictures_of("fault=frozen@1..2")
    assert all((pictures[k] == pictures[9]).all() for k in range(10, 20))
    assert (pictures[20] != pictures[9]).any()


def test_faults_are_such_that_the_limits_see_them():
    limits = HealthConfig()
    dark, bright, soft, half = (
        pictures_of(f"fault={fault}@0..")[5] for fault in ("dark", "saturated", "blurred", "half")
    )
    assert look_at(dark).brightest < limits.dark_below
    assert look_at(bright).saturated > limits.saturated_share
    assert half.shape == (32, 48, 3)
    assert soft.std() < pictures_of("seed=3")[5].std()


def test_several_faults_stand_each_at_its_time():
    assert faults("dark@1..2.5,lost@4..") == (
        Fault("dark", 1.0, 2.5),
        Fault("lost", 4.0, np.inf),
    )


@pytest.mark.parametrize("text", ["", "dark", "dim@1..2", "dark@2..1", "dark@..2", "dark@1-2"])
def test_a_fault_that_is_none_is_told_with_its_form(text: str):
    with pytest.raises(ValueError, match=r"fault"):
        parse_source(f"sim:fault={text}")


def test_fault_of_the_documents_is_a_source():
    text = (Path(__file__).parents[2] / "docs" / "replay.md").read_text(encoding="utf-8")
    (source,) = re.findall(r'^source = "(sim:[^"]+)"$', text, re.MULTILINE)
    assert faults(str(parse_source(source).options["fault"]))[0].begin_s == 60
