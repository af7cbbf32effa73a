from __future__ import annotations

import threading

import pytest

from edge_runtime.latest import LatestFrame
from edge_runtime.reconnect import back_off_s
from edge_runtime.restart import RestartPolicy
from tests.edge_runtime.conftest import frame_at


def test_only_the_newest_frame_is_handed_on_and_the_others_are_counted(slot: LatestFrame):
    for index in range(5):
        slot.put(frame_at(index, seq=index + 1))
    assert slot.take().seq == 5
    assert slot.take() is None
    assert slot.dropped == 4


def test_two_slots_wake_one_worker():
    arrived = threading.Event()
    first, second = LatestFrame(arrived), LatestFrame(arrived)
    second.put(frame_at(0))
    assert arrived.is_set()
    assert first.take() is None


def test_back_off_grows_to_its_cap_and_never_overflows():
    bounds = [back_off_s(attempt, 1.0) for attempt in (1, 2, 3, 7, 8, 100_000)]
    assert bounds == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]


def test_back_off_spreads_over_the_whole_interval_but_is_no_busy_loop():
    assert back_off_s(5, 0.5) == 4.0
    assert back_off_s(5, 0.0) == 0.05


def test_a_process_that_dies_at_once_again_and_again_is_started_more_and_more_seldom():
    policy = RestartPolicy()
    waits = [policy.ended(now_s=float(n), ran_s=0.5, chance=1.0) for n in range(4)]
    assert waits == [0.5, 1.0, 2.0, 4.0]


def test_a_long_sound_run_is_forgiven():
    policy = RestartPolicy()
    for n in range(6):
        policy.ended(now_s=float(n), ran_s=0.5, chance=1.0)
    assert policy.ended(now_s=1000.0, ran_s=900.0, chance=1.0) == 0.5


def test_a_spent_restart_budget_slows_down_but_never_gives_up():
    policy = RestartPolicy(budget=3, window_s=100, rest_s=50)
    waits = [policy.ended(now_s=float(n), ran_s=0.5, chance=0.0) for n in range(5)]
    assert waits[:3] == [pytest.approx(0.05)] * 3
    assert waits[3:] == [50, 50]
    policy.ended(now_s=500.0, ran_s=0.5, chance=0.0)
    assert not policy.is_spent
