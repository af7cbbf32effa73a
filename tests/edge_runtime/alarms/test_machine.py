"""One alarm on a virtual clock: its states by table, its delays, shelving and chatter guard."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from contract.alarms import ActionKind, Outcome
from edge_runtime.alarms.config import AlarmConfig, AlarmRule

HOUR = 3600.0


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("0", "NORM"),
        ("1", "UNACK"),
        ("1 ack", "ACKED"),
        ("1 0", "RTN_UNACK"),
        ("1 0 ack", "NORM"),
        ("1 ack 0", "NORM"),
        ("1 0 1", "UNACK"),
        ("1 0 1 ack", "ACKED"),
        ("1 shelve", "SHELVED"),
        ("shelve 1", "SHELVED"),
        ("1 shelve unshelve", "UNACK"),
        ("1 ack shelve unshelve", "UNACK"),
        ("1 ack shelve 0 unshelve", "NORM"),
        ("1 shelve ack unshelve", "UNACK"),
        ("shelve 1 0 unshelve", "RTN_UNACK"),
        ("1 out", "OUT_OF_SERVICE"),
        ("1 ack out back", "UNACK"),
        ("out 1 0 back", "RTN_UNACK"),
        ("1 shelve out unshelve", "OUT_OF_SERVICE"),
        ("1 shelve out back", "SHELVED"),
        ("1 ? ? ?", "UNACK"),
        ("1 ack ? ? ?", "ACKED"),
        ("? ? ?", "NORM"),
    ],
)
def test_each_way_leads_to_its_state(alarms, steps, state):
    one = alarms.one()
    one.see("0")
    walk(one, steps)
    assert one.state == state


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("1 0", "LATCH_UNACK"),
        ("1 ack 0", "LATCH_ACKED"),
        ("1 0 ack", "LATCH_ACKED"),
        ("1 0 ack reset", "NORM"),
        ("1 0 1", "UNACK"),
        ("1 ack 0 1 0", "LATCH_UNACK"),
    ],
)
def test_a_latched_alarm_stays_until_it_is_acknowledged_and_reset(alarms, steps, state):
    one = alarms.one(AlarmRule(on_delay_s=0, off_delay_s=0, latch=True))
    one.see("0")
    walk(one, steps)
    assert one.state == state


@pytest.mark.parametrize(
    ("steps", "kind", "outcome"),
    [
        ("", ActionKind.ACKNOWLEDGE, Outcome.NOTHING_TO_DO),
        ("1 ack", ActionKind.ACKNOWLEDGE, Outcome.NOTHING_TO_DO),
        ("1", ActionKind.CONFIRM, Outcome.NOT_YET),
        ("1 ack", ActionKind.CONFIRM, Outcome.DONE),
        ("1 ack confirm", ActionKind.CONFIRM, Outcome.NOTHING_TO_DO),
        ("1", ActionKind.COMMENT, Outcome.NOTHING_TO_DO),
        ("1", ActionKind.UNSHELVE, Outcome.NOTHING_TO_DO),
        ("shelve", ActionKind.SHELVE, Outcome.NOTHING_TO_DO),
        ("1", ActionKind.RESET, Outcome.NOT_YET),
        ("1 0", ActionKind.RESET, Outcome.NOT_YET),
        ("1 0 1 ack", ActionKind.RESET, Outcome.NOT_YET),
        ("1 0 ack reset", ActionKind.RESET, Outcome.NOTHING_TO_DO),
        ("1 out", ActionKind.TAKE_OUT, Outcome.NOTHING_TO_DO),
        ("1", ActionKind.PUT_BACK, Outcome.NOTHING_TO_DO),
    ],
)
def test_what_cannot_be_done_is_answered_and_changes_nothing(alarms, steps, kind, outcome):
    one = alarms.one(AlarmRule(on_delay_s=0, off_delay_s=0, latch=True))
    one.see("0")
    walk(one, steps)
    before = one.memory
    assert one.do(kind) is outcome
    if outcome is not Outcome.DONE:
        assert one.memory == before


def walk(one, steps):
    kinds = {
        "ack": ActionKind.ACKNOWLEDGE,
        "confirm": ActionKind.CONFIRM,
        "shelve": ActionKind.SHELVE,
        "unshelve": ActionKind.UNSHELVE,
        "reset": ActionKind.RESET,
        "out": ActionKind.TAKE_OUT,
        "back": ActionKind.PUT_BACK,
    }
    for step in steps.split():
        if step in kinds:
            assert one.do(kinds[step]) is Outcome.DONE, step
        else:
            one.see(step)


def test_delays_must_pass_in_one_piece(alarms):
    one = alarms.one(AlarmRule(on_delay_s=2, off_delay_s=3))
    assert one.see("1 1 0 1 1 1") == ["NORM"] * 5 + ["UNACK"]
    one.do(ActionKind.ACKNOWLEDGE)
    assert one.see("0 0 1 0 0 0 0") == ["ACKED"] * 6 + ["NORM"]


def test_blindness_neither_raises_nor_clears_and_hides_no_leak_that_is_seen_again(alarms):
    one = alarms.one(AlarmRule(on_delay_s=2, off_delay_s=2))
    assert one.see("1 ? ? 1") == ["NORM"] * 3 + ["UNACK"]
    assert one.see("0 0 ? ? ? ? ? ? 0 0") == ["UNACK"] * 10
    assert one.see("0") == ["RTN_UNACK"]


def test_each_activation_has_its_own_event_and_keeps_the_onset_that_was_seen(alarms):
    one = alarms.one()
    one.see("1", onset_ns=123)
    first = one.memory
    assert (first.onset_ns, first.count) == (123, 1)
    one.see("1 1 0", onset_ns=456)
    assert one.memory.event_id == first.event_id
    assert one.memory.onset_ns == 123
    one.see("1", onset_ns=789)
    assert one.memory.event_id > first.event_id  # a UUIDv7 sorts by its time
    assert (one.memory.onset_ns, one.memory.count) == (789, 2)


def test_an_action_that_means_another_event_is_refused(alarms):
    one = alarms.one()
    one.see("1")
    old = one.memory.event_id
    one.see("0 1")
    assert one.do(ActionKind.ACKNOWLEDGE, event_id=old) is Outcome.OTHER_EVENT
    assert one.state == "UNACK"
    assert one.do(ActionKind.ACKNOWLEDGE, event_id=one.memory.event_id) is Outcome.DONE


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 28_801.0])
def test_a_shelving_that_is_out_of_bounds_is_refused(alarms, seconds):
    one = alarms.one()
    assert one.do(ActionKind.SHELVE, seconds=seconds) is Outcome.OUT_OF_BOUNDS
    assert one.state == "NORM"


@pytest.mark.parametrize("step_s", [0.0, 5 * HOUR, -5 * HOUR, 3.0, -1.0])
def test_a_step_of_the_wall_clock_neither_prolongs_nor_ends_a_shelving(alarms, step_s):
    one = alarms.one()
    one.see("1")
    one.do(ActionKind.SHELVE, seconds=HOUR)
    one.clock.step_wall(step_s)
    one.clock.wait(HOUR - 1)
    assert one.look("1") == "SHELVED"
    left_s = (one.memory.shelving.until_ns - one.clock.now.utc_ns) / 1e9
    assert left_s == pytest.approx(1, abs=2)
    one.clock.wait(1)
    assert one.look("1") == "UNACK"


@pytest.mark.parametrize(
    ("off_s", "left_s"),
    [
        (600.0, HOUR - 600),
        (2 * HOUR, 0.0),
        (-5 * HOUR, HOUR),  # a clock that went back while the machine was off
        (-60 * 365 * 24 * HOUR, 0.0),  # a clock that forgot the year: nobody knows
    ],
)
def test_after_a_new_start_of_the_machine_the_wall_clock_decides_within_what_was_left(
    alarms, off_s, left_s
):
    one = alarms.one()
    one.see("1")
    one.do(ActionKind.SHELVE, seconds=HOUR)
    one.clock.boot(off_s)
    other = alarms.one()
    other.clock = one.clock
    other.machine.remember(one.memory, one.clock.now)
    if not left_s:
        assert other.look("1") == "UNACK"
        return
    assert other.look("1") == "SHELVED"
    other.clock.wait(left_s - 1)
    assert other.look("1") == "SHELVED"
    other.clock.wait(1)
    assert other.look("1") == "UNACK"


def test_chatter_is_held_active_and_told_until_it_has_been_quiet(alarms):
    one = alarms.one()
    states = one.see("0 1 0 1 0 1 0 0 0")
    assert states[-3:] == ["UNACK"] * 3
    assert one.memory.chattering
    one.do(ActionKind.ACKNOWLEDGE)
    assert one.see("0 " * 50)[-1] == "ACKED"
    assert one.see("0 " * 12)[-1] == "NORM"
    assert not one.memory.chattering


def test_what_comes_again_and_again_is_raised_though_each_time_is_too_short(alarms):
    one = alarms.one(AlarmRule(on_delay_s=5, off_delay_s=0))
    assert one.see("0 1 0 1 0")[-1] == "NORM"
    assert one.see("1") == ["UNACK"]
    assert one.memory.chattering


def test_slow_changes_are_no_chatter(alarms):
    one = alarms.one()
    for _ in range(5):
        one.see("1 0")
        one.clock.wait(29)
    assert not one.memory.chattering


def test_what_stands_for_long_is_announced_again(alarms):
    one = alarms.one(common=AlarmConfig(realarm_s=600))
    one.see("1")
    one.do(ActionKind.ACKNOWLEDGE)
    event = one.memory.event_id
    one.clock.wait(599)
    assert one.look("1") == "ACKED"
    one.clock.wait(1)
    assert one.look("1") == "UNACK"
    assert one.memory.event_id == event
    one.clock.wait(599)
    one.look("1")
    before = one.memory.changed_ns
    one.clock.wait(2)
    one.look("1")
    assert one.memory.changed_ns > before  # again, though nobody acknowledged it


def test_a_shelved_alarm_is_not_announced_again(alarms):
    one = alarms.one(common=AlarmConfig(realarm_s=600))
    one.see("1")
    one.do(ActionKind.SHELVE, seconds=HOUR)
    before = one.memory.changed_ns
    one.clock.wait(1800)
    assert one.look("1") == "SHELVED"
    assert one.memory.changed_ns == before


def test_what_comes_back_from_a_shelf_has_just_been_announced(alarms):
    one = alarms.one(common=AlarmConfig(realarm_s=600))
    one.see("1")
    one.do(ActionKind.SHELVE, seconds=HOUR)
    one.clock.wait(590)
    one.do(ActionKind.UNSHELVE)
    one.do(ActionKind.ACKNOWLEDGE)
    one.clock.wait(590)
    assert one.look("1") == "ACKED"
    one.clock.wait(10)
    assert one.look("1") == "UNACK"


def test_suppression_by_design_hides_and_gives_back(alarms):
    one = alarms.one()
    one.see("1")
    one.do(ActionKind.ACKNOWLEDGE)
    assert one.see("1", suppressed=True) == ["SUPPRESSED"]
    assert one.memory.active
    assert one.see("1") == ["UNACK"]


def test_who_said_what_is_kept_and_cut(alarms):
    one = alarms.one()
    one.see("1")
    one.do(ActionKind.ACKNOWLEDGE, comment="x" * 2000)
    assert one.memory.who == "operator1"
    assert one.memory.comment == "x" * 500
    one.see("0 1")
    assert (one.memory.who, one.memory.comment) == ("", "")


def test_a_restart_forgets_delays_and_nothing_else(alarms):
    one = alarms.one(AlarmRule(on_delay_s=2, off_delay_s=2))
    one.see("1 1 1 0 0")
    other = alarms.one(AlarmRule(on_delay_s=2, off_delay_s=2))
    other.clock = one.clock
    other.machine.remember(one.memory, one.clock.now)
    assert other.memory == one.memory
    assert other.see("0 0 0") == ["UNACK", "UNACK", "RTN_UNACK"]
    assert replace(other.memory, active=True, changed_ns=0) == replace(one.memory, changed_ns=0)


def test_a_shelving_ends_in_its_time_where_the_machines_start_has_no_name(alarms):
    one = alarms.one()
    one.clock.now = replace(one.clock.now, boot_id="")
    one.see("1")
    assert one.do(ActionKind.SHELVE, seconds=60.0) is Outcome.DONE
    one.clock.now = replace(one.clock.now, mono_s=5.0)  # another start
    one.see(" ".join(["1"] * 61))
    assert one.memory.shelving is None


def test_a_shelving_for_once_ends_with_what_it_hides_and_the_next_is_announced(alarms):
    one = alarms.one()
    one.see("1")
    assert one.do(ActionKind.SHELVE, seconds=HOUR, once=True) is Outcome.DONE
    assert one.machine.alarm().shelved_once
    assert one.see("1 ? 1") == ["SHELVED"] * 3  # that nobody can look is no return to normal
    assert one.see("0") == ["RTN_UNACK"]
    assert one.memory.shelving is None
    assert not one.machine.alarm().shelved_once
    assert one.see("1") == ["UNACK"]


def test_a_shelving_for_once_before_anything_is_there_hides_the_next_one_alone(alarms):
    one = alarms.one()
    one.do(ActionKind.SHELVE, seconds=HOUR, once=True)
    assert one.see("0 1 1 0 1") == ["SHELVED", "SHELVED", "SHELVED", "RTN_UNACK", "UNACK"]


def test_a_shelving_for_once_ends_in_its_time_like_any_other_and_outlives_a_new_start(alarms):
    one = alarms.one()
    one.see("1")
    assert one.do(ActionKind.SHELVE, seconds=9 * HOUR, once=True) is Outcome.OUT_OF_BOUNDS
    one.do(ActionKind.SHELVE, seconds=60.0, once=True)
    one.clock.boot(off_s=10.0)
    assert one.see("1") == ["SHELVED"]
    assert one.memory.shelving.once
    one.clock.wait(60.0)
    assert one.look("1") == "UNACK"


def test_a_test_that_is_shelved_for_once_does_not_hide_the_real_leak_behind_it(alarms):
    one = alarms.one()
    one.see("1", test=True)
    one.do(ActionKind.SHELVE, seconds=HOUR, once=True)
    assert one.see("1", test=True) == ["SHELVED"]
    assert one.see("1 1")[-1] == "UNACK"
