"""The leak rule by a virtual clock."""

from __future__ import annotations

import pytest

from contract.tags import LeakState
from edge_runtime.config import LeakConfig
from edge_runtime.leaks.vote import GasField, LeakTracker, MovingVote

FPS = 10.0
UTC = 1_800_000_000_000_000_000


def gas(area: float = 0.01, score: float = 0.8) -> GasField:
    return GasField(area, round(area * 1e5), score)


CLEAR = GasField(0.0, 0, 0.0)


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


def states_of(
    vote: MovingVote, seconds: float, field: GasField, moving: GasField, begin: float = 0
):
    """What the vote says of each frame."""
    times = [begin + (index + 1) / FPS for index in range(round(seconds * FPS))]
    return [vote.update(field, moving, at, UTC + int(at * 1e9)) for at in times]


def test_gas_that_stands_still_is_a_suspect_that_says_so_and_never_a_leak():
    said = states_of(MovingVote(LeakConfig()), 60, gas(), CLEAR)
    assert {verdict.state for verdict in said[7:]} == {LeakState.SUSPECT}
    assert [verdict.still for verdict in said].index(True) == pytest.approx(7 + 20, abs=1)
    assert said[-1].still
    assert said[-1].duration_s == pytest.approx(59.9)


def test_still_gas_that_begins_to_move_is_a_leak_from_then_on():
    vote = MovingVote(LeakConfig())
    states_of(vote, 20, gas(), CLEAR)
    said = states_of(vote, 4, gas(), gas(area=0.004), begin=20)
    assert said[-1].state is LeakState.LEAK
    assert said[-1].onset_ns == pytest.approx(UTC + 20.1e9, abs=1000)
    assert not said[-1].still


def test_a_leak_that_comes_to_rest_is_held_for_the_off_delay_and_a_suspect_after_it():
    vote = MovingVote(LeakConfig())
    states_of(vote, 5, gas(), gas())
    said = states_of(vote, 40, gas(), CLEAR, begin=5)
    leaks = [verdict.state is LeakState.LEAK for verdict in said]
    assert leaks.index(False) == pytest.approx(300, abs=10)
    assert said[-1].state is LeakState.SUSPECT
    assert said[-1].still
