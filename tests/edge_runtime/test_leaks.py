"""The leak rule by a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest

from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE, MACHINE
from contract.tags import LeakState
from edge_runtime.config import LeakConfig
from edge_runtime.leaks import LeakTracker
from edge_runtime.regions import GasField, gas_field

FPS = 10.0
UTC = 1_800_000_000_000_000_000


def gas(area: float = 0.01, score: float = 0.8) -> GasField:
    return GasField(area, round(area * 1e5), score, 1, (0.5, 0.5), (1, 2, 3, 4))


CLEAR = GasField(0.0, 0, 0.0, 0, None, None)


class Timeline:
    """Feeds a tracker frame by frame and keeps what it said."""

    def __init__(self, config: LeakConfig | None = None) -> None:
        self.tracker = LeakTracker(config or LeakConfig())
        self.now = 0.0
        self.said: list = []

    def see(self, field: GasField, seconds: float) -> list[LeakState]:
        begin = len(self.said)
        for _ in range(round(seconds * FPS)):
            self.now = round(self.now + 1 / FPS, 6)
            self.said.append(self.tracker.update(field, self.now, UTC + int(self.now * 1e9)))
        return [verdict.state for verdict in self.said[begin:]]


def test_nothing_is_said_before_enough_frames_were_seen():
    states = Timeline().see(CLEAR, 1.5)
    assert states[:7] == [LeakState.UNKNOWN] * 7
    assert states[7:] == [LeakState.NONE] * 8


def test_a_lasting_plume_is_suspect_then_a_leak_with_the_onset_of_its_first_frame():
    timeline = Timeline()
    timeline.see(CLEAR, 3)
    begin = timeline.now
    states = timeline.see(gas(), 4)
    assert states.index(LeakState.SUSPECT) == 7
    assert states.index(LeakState.LEAK) == 7 + 20
    verdict = timeline.said[-1]
    assert verdict.onset_ns == pytest.approx(UTC + int((begin + 0.1) * 1e9), abs=1000)
    assert verdict.duration_s == pytest.approx(timeline.now - begin - 0.1)


def test_a_short_burst_is_no_leak():
    timeline = Timeline()
    timeline.see(CLEAR, 3)
    states = timeline.see(gas(), 1) + timeline.see(CLEAR, 5)
    assert LeakState.LEAK not in states
    assert states[-1] is LeakState.NONE
    assert timeline.said[-1].onset_ns is None


def test_a_leak_is_held_through_gaps_until_the_off_delay():
    timeline = Timeline()
    timeline.see(gas(), 5)
    states = timeline.see(CLEAR, 20) + timeline.see(gas(), 5) + timeline.see(CLEAR, 29)
    assert set(states) == {LeakState.LEAK}
    assert timeline.see(CLEAR, 3)[-1] is LeakState.NONE


def test_flicker_between_the_on_and_off_thresholds_does_not_start_a_leak_but_keeps_one():
    between = gas(area=0.0007, score=0.5)
    fresh = Timeline()
    assert LeakState.SUSPECT not in fresh.see(between, 10)
    running = Timeline()
    running.see(gas(), 5)
    assert set(running.see(between, 60)) == {LeakState.LEAK}


@pytest.mark.parametrize("field", [gas(score=0.59), gas(area=0.0009)])
def test_a_plume_too_weak_or_too_small_is_none(field: GasField):
    assert Timeline().see(field, 5)[-1] is LeakState.NONE


def test_after_blindness_the_vote_starts_again():
    timeline = Timeline()
    timeline.see(gas(), 0.7)  # one vote short
    timeline.tracker.reset()
    assert timeline.see(gas(), 0.7) == [LeakState.UNKNOWN] * 7
    assert timeline.see(gas(), 0.1) == [LeakState.SUSPECT]


def test_a_leak_that_nobody_watched_any_more_is_not_remembered():
    timeline = Timeline()
    assert timeline.see(gas(), 5)[-1] is LeakState.LEAK
    timeline.tracker.reset()
    states = timeline.see(CLEAR, 1)
    assert states[0] is LeakState.UNKNOWN
    assert LeakState.LEAK not in states


def test_votes_grow_too_old_to_count_however_slow_the_frames():
    tracker = LeakTracker(LeakConfig())
    for index in range(40):  # one frame in ten seconds: three young votes at most
        verdict = tracker.update(CLEAR, index * 10.0, UTC)
    assert verdict.state is LeakState.UNKNOWN


def test_one_of_one_without_delay_follows_the_frame():
    config = LeakConfig(votes=1, window=1, on_delay_s=0, off_delay_s=0)
    timeline = Timeline(config)
    assert timeline.see(gas(), 0.1) == [LeakState.LEAK]
    assert timeline.see(CLEAR, 0.1) == [LeakState.NONE]


def test_regions_are_measured_in_camera_pixels_and_padding_does_not_count():
    geometry = InputGeometry(width=64, height=64)
    fit = geometry.of(128, 64)  # lies in rows 16..48
    mask = np.zeros((64, 64), np.uint8)
    mask[:16] = GAS_SMOKE  # in the padding
    mask[20:28, 10:26] = GAS_SMOKE
    mask[40:44, 50:54] = GAS_SMOKE
    mask[30:34, :] = MACHINE
    score = np.where(mask == GAS_SMOKE, 204, 0).astype(np.uint8)
    found = gas_field(mask, score, fit)
    assert found.count == 2
    assert found.area_fraction == pytest.approx((8 * 16 + 4 * 4) / (32 * 64))
    assert found.area_px == (8 * 16 + 4 * 4) * 4
    assert found.score == pytest.approx(0.8)
    assert found.bbox == (20, 8, 32, 16)
    assert found.centroid == pytest.approx((18 / 64, 8 / 32))


def test_no_gas_is_no_region_and_no_score():
    fit = InputGeometry(width=64, height=64).of(64, 64)
    mask = np.full((64, 64), MACHINE, np.uint8)
    assert gas_field(mask, np.full((64, 64), 90, np.uint8), fit) == CLEAR


def test_the_most_regions_a_large_mask_can_hold_are_counted_right():
    geometry = InputGeometry(width=1024, height=1024)
    mask = np.zeros((1024, 1024), np.uint8)
    mask[::4, ::4] = mask[1::4, ::4] = mask[::4, 1::4] = mask[1::4, 1::4] = GAS_SMOKE
    mask[2::4, ::4] = mask[2::4, 1::4] = GAS_SMOKE
    mask[::4, 2::4] = mask[1::4, 2::4] = GAS_SMOKE
    found = gas_field(mask, mask, geometry.of(1024, 1024))
    assert found.count == 256 * 256  # more than 16 bits count
