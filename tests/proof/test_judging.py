"""What the list of faults and the soak are judged by: pure rules over what a client saw."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("pymodbus")
pytest.importorskip("paho.mqtt.client")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from faults_parts.reading import WORDS, Reading, Shown, judge
from faults_parts.records import losses
from soak_parts.slopes import slope_of
from soak_parts.weights import Weights

from contract.audit import AuditRecord
from contract.tags import HealthCode, LeakState, Quality, tag

NOTHING = HealthCode(0)


def reading(at_s, state=0, quality=Quality.GOOD, code=NOTHING, still_s=0.0):
    words = [0] * WORDS
    words[tag("Leak/State").register] = int(state)
    words[tag("Health/Quality").register] = int(quality)
    at = tag("Health/Code").register
    words[at : at + 2] = divmod(int(code), 1 << 16)
    return Reading(at_s, tuple(words), still_s)


def unknown(at_s, code=NOTHING):
    return reading(at_s, LeakState.UNKNOWN, Quality.BAD, code)


def silent(at_s):
    return Reading(at_s, ())


def judged(readings, right, told=NOTHING, end_s=10.0):
    return judge(readings, right, told, begin_s=0.0, end_s=end_s)


def test_unknown_within_two_seconds_and_until_the_end_is_right():
    found = judged([reading(0.1), unknown(1.5), unknown(9.9)], Shown.UNKNOWN)
    assert found.is_right
    assert found.detected_s == 1.5


def test_a_state_that_is_still_believed_after_two_seconds_is_wrong():
    found = judged([reading(0.1), reading(2.4), unknown(2.6)], Shown.UNKNOWN)
    assert not found.is_right
    assert "state 0, good after 2.4 s" in found.shown


def test_unknown_that_does_not_last_as_long_as_the_fault_is_wrong():
    assert not judged([unknown(1.0), reading(5.0)], Shown.UNKNOWN).is_right


def test_unknown_for_another_reason_than_the_fault_is_wrong():
    frozen = HealthCode.FROZEN
    assert not judged([unknown(1.0), unknown(5.0)], Shown.UNKNOWN, frozen).is_right
    assert judged([unknown(1.0, frozen), unknown(5.0, frozen)], Shown.UNKNOWN, frozen).is_right


def test_no_answer_is_right_only_where_nobody_can_answer():
    readings = [silent(0.5), silent(5.0)]
    assert judged(readings, Shown.SILENT).is_right
    assert not judged(readings, Shown.UNKNOWN).is_right
    assert not judged(readings, Shown.WATCHED).is_right


def test_what_must_go_on_may_be_late_for_two_seconds_and_no_longer():
    late = reading(1.0, quality=Quality.STALE)
    short = [reading(0.1), late, reading(2.5), reading(9.0)]
    assert judged(short, Shown.WATCHED).is_right
    long = [reading(0.1), late, reading(3.5, quality=Quality.STALE), reading(9.0)]
    assert not judged(long, Shown.WATCHED).is_right


def test_what_is_told_beside_a_state_may_take_its_time_but_the_state_may_not():
    told = HealthCode.DEVICE
    readings = [reading(0.1), reading(5.0, code=told), reading(9.0, code=told)]
    limits = {"begin_s": 0.0, "end_s": 10.0}
    assert not judge(readings, Shown.TOLD, told, **limits).is_right
    assert judge(readings, Shown.TOLD, told, **limits, told_in_s=6.0).is_right
    blind = [reading(0.1), unknown(1.0), unknown(4.0), *readings[1:]]
    assert not judge(blind, Shown.TOLD, told, **limits, told_in_s=6.0).is_right


def test_a_state_believed_while_the_heartbeat_stands_is_false_whatever_the_fault():
    assert reading(1.0, still_s=3.5).is_false
    assert not judged([reading(0.1), reading(5.0, still_s=4.0)], Shown.HONEST).is_right
    assert not unknown(1.0).is_false


def test_nothing_read_is_never_right():
    for right in Shown:
        assert not judged([], right).is_right


def record(n, subject):
    return AuditRecord(
        n=n,
        at_ns=n,
        clock_ok=True,
        boot_id="boot",
        category="alarm",
        subject=subject,
        who="",
        role="",
        origin="",
        old="NORM",
        new="UNACK, active",
        result="done",
        comment="",
        previous="0" * 64,
    )


def test_a_record_without_event_an_event_without_record_and_a_gap_are_losses():
    records = [record(1, "camera0.leak"), record(2, "camera1.leak")]
    events = {("s", 1): "camera0.leak", ("s", 2): "camera1.leak"}
    assert losses(records, events, {}) == []
    assert "without an event" in losses(records, {("s", 1): "camera0.leak"}, {})[0]
    assert "does not hold" in losses(records[:1], events, {})[0]
    assert "never arrived" in losses([], {("s", 1): "", ("s", 4): ""}, {})[0]


def test_an_alarm_that_a_client_saw_begin_and_the_journal_does_not_hold_is_a_loss():
    records = [record(1, "camera0.leak")]
    events = {("s", 1): "camera0.leak"}
    assert losses(records, events, {(1, 0): 1}) == []
    assert "seen to begin 2 times" in losses(records, events, {(1, 0): 2})[0]


def test_a_straight_line_is_found_with_its_slope_an_hour():
    times = [60.0 * n for n in range(200)]
    found = slope_of(times, [100 + 3 * at / 3600 for at in times])
    assert found.an_hour == pytest.approx(3.0)
    assert found.least == pytest.approx(3.0)
    assert found.most == pytest.approx(3.0)


def test_noise_has_a_slope_whose_interval_holds_zero():
    times = [float(n) for n in range(4000)]
    found = slope_of(times, [math.sin(n * n) for n in range(4000)])
    assert found.least < 0 < found.most


def test_three_readings_are_the_fewest_that_have_a_slope():
    assert math.isnan(slope_of([0.0, 1.0], [1.0, 2.0]).an_hour)


def test_a_process_that_ended_is_told_however_long_it_takes_to_come_back():
    looks = [
        {1: "supervisor", os.getpid(): "frames", 3: "plant", 4: "decoders", 5: "decoders"},
        OSError("a process ended while it was looked at"),
        {1: "supervisor", os.getpid(): "frames", 4: "decoders", 5: "decoders"},  # plant is gone
        {1: "supervisor", os.getpid(): "frames", 6: "plant", 5: "decoders"},  # and back
        {1: "supervisor", os.getpid(): "frames", 6: "plant", 5: "decoders", 7: "decoders"},
        {1: "supervisor", os.getpid(): "frames", 8: "plant", 5: "decoders", 7: "decoders"},
    ]

    def family():
        look = looks.pop(0)
        if isinstance(look, OSError):
            raise look
        return look

    daemon, watch = SimpleNamespace(family=family), SimpleNamespace(ages_ms=list)
    weights = Weights(SimpleNamespace(daemon=daemon, watch=watch))
    while looks:
        weights.look()
    assert weights.ended == ["plant", "decoders", "plant"]
    assert len(weights.series(from_s=0.0)["frames: threads"][0]) == 4
