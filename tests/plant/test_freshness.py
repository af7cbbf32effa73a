"""What is published when nobody looks: pure, on a virtual clock."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from contract.tags import TAGS, HealthCode, Quality
from edge_runtime.plant.freshness import Limits, hear, published

LIMITS = Limits(stale_after_s=0.5, bad_after_s=2.0)
SECOND = 1_000_000_000


def after(heard, seconds):
    now_ns = heard.sent_ns + int(seconds * SECOND)
    return published("north", 1, heard, now_ns=now_ns, limits=LIMITS)


@pytest.fixture
def fresh(plant):
    return hear(None, plant.snapshot(), sent_ns=100 * SECOND, age_ns=0)


def test_before_the_first_snapshot_everything_is_unknown_and_bad():
    shown = published("north", 1, None, now_ns=5, limits=LIMITS)
    snapshot = shown.snapshot
    assert snapshot.quality is Quality.BAD
    assert snapshot.value("Leak/State") == 255
    assert snapshot.value("Health/DataGood") is False
    assert snapshot.value("Health/Fault") is True
    assert HealthCode(snapshot.value("Health/Code")) == HealthCode.STARTING | HealthCode.PLANT_LINK
    assert not shown.heard


@pytest.mark.parametrize(
    ("seconds", "quality", "state", "data_good"),
    [
        (0.0, Quality.GOOD, 2, True),
        (0.5, Quality.GOOD, 2, True),
        (0.51, Quality.STALE, 2, False),
        (2.0, Quality.STALE, 2, False),
        (2.01, Quality.BAD, 255, False),
        (1e6, Quality.BAD, 255, False),
    ],
)
def test_values_grow_stale_and_bad_by_time_alone(fresh, seconds, quality, state, data_good):
    shown = after(fresh, seconds)
    assert shown.snapshot.quality is quality
    assert shown.snapshot.value("Leak/State") == state
    assert shown.snapshot.value("Health/DataGood") is data_good
    assert shown.snapshot.value("Health/Heartbeat") == 7  # never made here
    silent = seconds > 0.5
    assert bool(shown.snapshot.value("Health/Code") & HealthCode.PLANT_LINK) is silent


def test_a_slow_camera_is_stale_after_three_periods_but_bad_as_soon_as_any(plant):
    heard = hear(None, plant.snapshot(Frame__Fps=2.0), sent_ns=0, age_ns=0)
    assert after(heard, 1.4).snapshot.quality is Quality.GOOD
    assert after(heard, 1.6).snapshot.quality is Quality.STALE
    assert after(heard, 2.1).snapshot.quality is Quality.BAD


def test_the_same_frame_sent_again_and_again_is_not_fresh(plant):
    same = plant.snapshot(source_time_ns=1)
    heard = None
    for tenth in range(31):
        heard = hear(heard, same, sent_ns=tenth * SECOND // 10, age_ns=0)
    shown = after(heard, 0)
    assert shown.snapshot.quality is Quality.BAD
    assert shown.snapshot.value("Health/Code") == HealthCode.STALLED
    assert shown.heard


def test_a_frame_that_was_old_when_it_was_sent_is_not_fresh(plant):
    heard = hear(None, plant.snapshot(), sent_ns=100 * SECOND, age_ns=3 * SECOND)
    assert after(heard, 0).snapshot.quality is Quality.BAD


def test_a_wall_clock_set_back_makes_nothing_fresh_and_nothing_younger_than_it_is(plant):
    heard = hear(None, plant.snapshot(), sent_ns=100 * SECOND, age_ns=-3600 * SECOND)
    assert after(heard, 0).snapshot.quality is Quality.GOOD
    assert after(heard, 2.1).snapshot.quality is Quality.BAD
    assert after(heard, 1.0).snapshot.value("Frame/AgeMs") == 1000


@pytest.mark.parametrize("quality", list(Quality))
def test_quality_is_never_better_than_the_frames_process_says(plant, quality):
    heard = hear(None, plant.snapshot(quality=quality), sent_ns=0, age_ns=0)
    for seconds in (0.0, 0.6, 3.0):
        assert after(heard, seconds).snapshot.quality >= quality


@pytest.mark.parametrize("state", [None, 255])
def test_good_quality_with_an_unknown_state_is_published_as_bad(plant, state):
    heard = hear(None, plant.snapshot(Leak__State=state), sent_ns=0, age_ns=0)
    shown = after(heard, 0).snapshot
    assert shown.quality is Quality.BAD
    assert shown.value("Health/DataGood") is False
    assert shown.value("Leak/State") == 255


def test_derived_tags_cannot_be_forged(plant):
    forged = plant.snapshot(
        quality=Quality.BAD,
        Leak__Active=True,
        Health__DataGood=True,
        Health__Quality=0,
        Health__Heartbeat=99,
        Health__NE107=0,
    )
    shown = after(hear(None, forged, sent_ns=0, age_ns=0), 0).snapshot
    assert shown.value("Leak/Active") is False
    assert shown.value("Health/DataGood") is False
    assert shown.value("Health/Quality") == 3
    assert shown.value("Health/Heartbeat") == 7
    assert shown.value("Health/NE107") == 1


def test_every_leak_value_is_unknown_once_bad(fresh):
    shown = after(fresh, 5).snapshot
    for tag in TAGS:
        if tag.name.startswith(("Leak/", "Mask/")):
            assert shown.value(tag.name) == tag.unknown, tag.name
    assert shown.value("Camera/Connected") is False
    assert shown.value("Frame/Fps") == 0


def test_a_snapshot_cannot_claim_another_camera_or_unit(plant):
    strange = replace(plant.snapshot(camera="south"), unit_id=9)
    shown = after(hear(None, strange, sent_ns=time.monotonic_ns(), age_ns=0), 0).snapshot
    assert (shown.camera, shown.unit_id) == ("north", 1)
