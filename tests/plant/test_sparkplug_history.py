"""What a host did not get comes later, live or as history; what goes is counted."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing, contextmanager

import pytest

from contract.tags import Quality
from edge_runtime.database import Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.mqtt.config import SparkplugConfig
from edge_runtime.plant.sparkplug.death_number import DeathNumber
from edge_runtime.plant.sparkplug.history import CONSUMER, History
from edge_runtime.plant.sparkplug.node import Identity
from edge_runtime.plant.sparkplug.speaker import SparkplugSpeaker
from edge_runtime.plant.sparkplug.wire import DataType, Metric
from tests.plant.test_sparkplug_node import UTC_MS, Bench, aliases, read, verbs


@pytest.fixture
def bench(plant):
    return Bench(plant)


def test_values_of_a_dead_line_come_later_as_historical_with_their_own_times(bench):
    bench.connect()
    bench.node.closed()
    bench.node.can_send = False
    sent_ms = []
    for state in (0, 1, 0):
        bench.wait(5.0)
        sent_ms.append(bench.now.ms)
        assert bench.look(Leak__State=state) == []
        bench.history.turn(bench.now.s, bench.now.ms * 1_000_000)
    bench.wait(60.0)
    births = bench.connect()[1]
    names = aliases(births)
    told = []
    for _ in range(50):
        bench.wait(0.1)
        told += bench.node.turn(bench.now)
    past = [m for each in told for m in read(each).metrics]
    assert past
    assert all(m.historical for m in past)
    assert not any(m.transient for m in past)
    states = [(m.timestamp_ms, m.value) for m in past if names[m.alias] == "Leak/State"]
    assert states[-3:] == list(zip(sent_ms, (0, 1, 0), strict=True))
    assert [read(each).seq for each in births + told] == [*range(len(births + told))]


def test_what_was_sent_into_a_line_just_before_it_died_comes_again(bench):
    bench.connect()
    bench.wait(1.0)
    lost_ms = bench.now.ms
    assert bench.look(Leak__State=1)  # into a socket that nobody reads
    bench.wait(15.0)
    bench.node.closed()
    bench.history.turn(bench.now.s, bench.now.ms * 1_000_000)
    names = aliases(bench.connect()[1])
    told = []
    for _ in range(20):
        bench.wait(0.1)
        told += bench.node.turn(bench.now)
    past = [m for each in told for m in read(each).metrics if names[m.alias] == "Leak/State"]
    assert (lost_ms, 1) in [(m.timestamp_ms, m.value) for m in past]


def live_values(messages, names):
    """What hosts take for the present, the last of each."""
    metrics = [m for each in messages for m in read(each).metrics if not m.historical]
    return {names[m.alias]: m for m in metrics}


def test_what_changed_while_the_line_was_busy_is_told_live_once_it_is_not(bench):
    names = aliases(bench.connect()[1])
    bench.wait(1.0)
    bench.node.can_send = False
    assert bench.look(Leak__State=1) == []
    alarm = next(each for each in bench.desk.alarms() if each.id == "north.leak")
    raised = dataclasses.replace(alarm, active=True, event_id="e1", changed_ns=10**18)
    assert bench.node.alarm(raised, bench.now) == []
    bench.wait(0.1)
    bench.node.can_send = True
    told = bench.node.turn(bench.now)
    assert verbs(told) == ["DDATA", "NDATA"]  # no births: a slow line would have nothing else
    found = live_values(told, names)
    assert found["Leak/State"].value == 1
    assert found["Alarm/north.leak/Active"].value is True
    assert all(not m.historical for m in read(bench.look(Leak__State=2)[0]).metrics)
    assert bench.look(Leak__State=2) == []


def test_a_quality_that_came_back_while_the_line_was_busy_is_told_live(bench):
    names = aliases(bench.connect()[1])
    bench.wait(5.0)
    told = bench.look(quality=Quality.BAD, Health__Code=1)
    assert live_values(told, names)["Leak/State"].quality == 0
    bench.node.can_send = False
    for state in (0, 1):  # good again, and then another good one, which need not be said
        bench.wait(0.2)
        assert bench.look(Leak__State=state) == []
    bench.node.can_send = True
    told = bench.look(Leak__State=1)
    told += bench.node.turn(bench.now)
    found = live_values(told, names)["Leak/State"]
    assert (found.value, found.quality) == (1, 192)


def test_history_stays_on_disk_until_the_line_has_stood_long_enough(bench):
    bench.node.can_send = False
    bench.look(Leak__State=1)
    bench.look("south")
    bench.history.turn(bench.now.s, 1)
    bench.connect()
    for _ in range(30):
        bench.wait(0.1)
        bench.node.turn(bench.now)
    assert bench.outbox.waiting(CONSUMER, Stream.TELEMETRY, 9)
    bench.wait(25.0)
    bench.history.turn(bench.now.s, 1)
    assert not bench.outbox.waiting(CONSUMER, Stream.TELEMETRY, 9)


@pytest.fixture
def kept(tmp_path):
    """An outbox on a disk, and how one keeps it from being written to."""
    path = tmp_path / "plant.sqlite"
    consumers = {CONSUMER: (Stream.TELEMETRY,)}
    with (
        Database(path) as data,
        Outbox(data, max_bytes=1 << 20, max_age_s=1e6, consumers=consumers) as outbox,
    ):

        @contextmanager
        def refused():
            with closing(sqlite3.connect(path)) as other:
                other.execute("BEGIN IMMEDIATE")
                yield

        yield outbox, refused


VALUE = Metric("Leak/State", 1, UTC_MS, DataType.UINT8, 1)


def test_history_that_the_disk_refused_is_written_once_it_takes_it(kept):
    outbox, refused = kept
    history = History(outbox, window_s=20.0)
    history.missed("north", [VALUE])
    with refused():
        history.turn(10.0, 1)
    history.missed("north", [VALUE])
    history.turn(20.0, 2)
    assert len(outbox.waiting(CONSUMER, Stream.TELEMETRY, 9)) == 2
    history.turn(30.0, 3)
    assert len(outbox.waiting(CONSUMER, Stream.TELEMETRY, 9)) == 2
    assert outbox.figures(3).dropped == 0


def test_history_that_memory_cannot_hold_is_counted_as_dropped(kept, monkeypatch):
    monkeypatch.setattr("edge_runtime.plant.sparkplug.history._HELD", 100)
    outbox, refused = kept
    history = History(outbox, window_s=20.0)
    with refused():
        for number in range(8):
            history.missed("north", [VALUE])
            history.turn(10.0 + 10.0 * number, 1)
    history.turn(1000.0, 1)
    waiting = len(outbox.waiting(CONSUMER, Stream.TELEMETRY, 9))
    assert 0 < waiting < 8
    assert outbox.figures(1).dropped == 8 - waiting


def test_when_more_is_handed_over_than_is_taken_looks_are_dropped_and_counted_and_no_alarm(
    bench, kept, tmp_path, monkeypatch
):
    monkeypatch.setattr("edge_runtime.plant.sparkplug.speaker._WAITING", 10)
    outbox, _ = kept
    identity = Identity("site", "box", ("north", "south"), {})
    speaker = SparkplugSpeaker(
        SparkplugConfig(group="site", brokers=("mqtt://127.0.0.1",)),
        identity,
        bench.desk.alarms(),
        History(outbox, window_s=20.0),
        DeathNumber(tmp_path / "number"),
        lambda _: None,
    )
    raised = dataclasses.replace(bench.desk.alarms()[0], active=True, event_id="e1", changed_ns=1)
    speaker.offer(raised)
    for number in range(50):
        speaker.offer(bench.shown(Leak__State=number % 3))
    speaker.end()
    records = outbox.waiting(CONSUMER, Stream.TELEMETRY, 99)
    assert [each.body.partition(b"\n")[0] for each in records] == [b"", b"north"]
    assert outbox.figures(1).dropped == 40


def test_past_of_a_dead_device_is_told_between_a_birth_and_a_death(bench):
    bench.node.can_send = False
    bench.look(Leak__State=1)
    bench.look("south")
    bench.history.turn(bench.now.s, 1)
    bench.wait(5.0)
    bench.look(silent=True)
    said = bench.connect(seen=False)[1]
    said += bench.look(silent=True)
    told = []
    for _ in range(30):
        bench.wait(0.1)
        told += bench.node.turn(bench.now)
    of_north = [each for each in told if each.topic.endswith("/north")]
    assert verbs(of_north)[:3] == ["DBIRTH", "DDATA", "DDEATH"]
