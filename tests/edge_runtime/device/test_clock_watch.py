"""The clock watch, by virtual clocks."""

from __future__ import annotations

import pytest

from edge_runtime.device.clock_watch import ClockWatch

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


def watched(steps, *, time_server=True, synchronised=True):
    """What is said at each (monotonic s, offset of the wall clock s)."""
    watch = ClockWatch(time_server=time_server)
    return [
        watch.look(round(at * SECOND), NOW + round((at + off) * SECOND), synchronised=synchronised)
        for at, off in steps
    ]


@pytest.mark.parametrize("by", [3600.0, -3600.0, 0.8])
def test_a_step_is_told_once_and_shown_for_a_minute(by):
    said = watched([(0, 0), (2, 0), (4, by), (6, by), (63, by), (65, by)])
    assert [each.bad for each in said] == [False, False, True, True, True, False]
    assert [round(each.stepped_s, 3) for each in said] == [0, 0, by, 0, 0, 0]


def test_what_a_time_server_slews_is_no_step():
    said = watched([(2 * n, 0.001 * n) for n in range(1000)])
    assert not any(each.bad or each.stepped_s for each in said)


def test_a_clock_that_no_time_server_keeps_is_bad_and_needs_somebody_after_ten_minutes():
    said = watched([(0, 0), (590, 0), (610, 0)], synchronised=False)
    assert [each.bad for each in said] == [True] * 3
    assert [each.trouble is not None for each in said] == [False, False, True]


def test_where_no_time_server_is_meant_to_be_its_absence_is_no_trouble():
    said = watched([(0, 0), (7200, 0)], synchronised=False, time_server=False)
    assert not any(each.bad or each.trouble for each in said)


def test_a_clock_that_was_never_set_is_bad_whoever_keeps_it():
    watch = ClockWatch(time_server=False)
    said = watch.look(0, 5 * SECOND, synchronised=True)
    assert said.bad
    assert "never set" in said.trouble
