"""Times of capture by a virtual clock."""

from __future__ import annotations

import pytest

from edge_runtime.sources.capture_clock import CaptureClock
from edge_runtime.sources.video import trusted_ns

MS = 1_000_000


def taken(times: list[tuple[float, float]]) -> tuple[list[float], CaptureClock]:
    """When pictures of (stream, arrival) milliseconds were taken, in milliseconds."""
    clock = CaptureClock()
    return [clock.taken_ns(int(s * MS), int(a * MS)) / MS for s, a in times], clock


def test_a_picture_that_was_held_up_is_as_old_as_it_is():
    got, _ = taken([(0, 1000), (100, 1100), (200, 1950), (300, 1951), (400, 1952)])
    assert got == pytest.approx([1000, 1100, 1200, 1300, 1400], abs=0.5)


def test_a_queue_that_grows_is_seen_however_slowly():
    # the decoder takes one part in a hundred longer than the camera
    got, _ = taken([(100 * n, 101 * n) for n in range(3000)])
    assert 2999 * 101 - got[-1] == pytest.approx(2999, rel=0.05)


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_a_camera_whose_clock_runs_off_by_itself_does_not_age(drift: float):
    got, _ = taken([(100 * n * (1 + drift), 100 * n) for n in range(100_000)])
    assert got[-1] == pytest.approx(99_999 * 100, abs=1)


def test_what_piled_up_before_the_first_picture_is_not_called_caught_up():
    burst = [(0, 1500), (67, 1500.5), (133, 1501), (200, 1501.5)]
    assert not taken(burst)[1].caught_up
    got, clock = taken([*burst, (267, 1568)])
    assert clock.caught_up
    assert got[-1] == pytest.approx(1568, abs=0.5)


def test_a_stream_whose_time_goes_back_gives_times_that_go_back():
    got, _ = taken([(1000, 5000), (1100, 5100), (900, 5200), (1000, 5300)])
    assert got[2] < got[1]


def test_a_driver_on_another_clock_is_not_believed():
    assert trusted_ns(99 * MS, 100 * MS) == 99 * MS
    assert trusted_ns(1_800_000_000_000 * MS, 100 * MS) == 100 * MS
    assert trusted_ns(0, 3_600_000 * MS) == 3_600_000 * MS
