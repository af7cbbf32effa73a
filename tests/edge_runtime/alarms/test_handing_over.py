"""What a disk that could not be used from the start kept waiting is written down once it can be."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest

from contract.alarms import ActionKind, Outcome
from contract.audit import Category, Chain, Entry
from contract.errors import GasedgeError, NotKeptError
from contract.tags import LeakState
from edge_runtime.alarms import keeper
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox, Stream

LEAK = LeakState.LEAK


def in_the_way(path):
    """Something that keeps the file from being used, though not from being read."""
    lock = path.with_name(f"{FILE}.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    return lock


def killed_copy(alarms, tmp_path):
    """The file of a desk with a leak, as it lies there after a kill: the last of it in its log."""
    with Database(tmp_path / "before" / FILE) as database:
        one = alarms.desk(database)
        one.look(1, state=LEAK)
        shutil.copytree(tmp_path / "before", tmp_path / "state")
    return tmp_path / "state" / FILE


def putting_events(one, outbox):
    one.desk.keep_with(lambda alarm: outbox.put(Stream.EVENT, alarm.id.encode(), alarm.changed_ns))


def test_what_a_disk_refused_from_the_start_is_kept_before_the_process_starts_anew(
    alarms, tmp_path
):
    path = killed_copy(alarms, tmp_path)
    lock = in_the_way(path)
    with Database.as_far_as_possible(path) as database:
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=60, consumers=["events"])
        one = alarms.desk(database)
        putting_events(one, outbox)
        assert one.state() == "UNACK"  # as the log has it
        one.look(40)
        assert one.state() == "RTN_UNACK"
        one.look(1, state=LEAK)
        event_id, onset_ns = one.alarm().event_id, one.alarm().onset_ns
        with pytest.raises(NotKeptError):
            outbox.figures(0)
        lock.rmdir()
        with pytest.raises(GasedgeError, match="starting anew"):
            one.look(40, state=LEAK)
        assert outbox.waiting("events", Stream.EVENT, 9)
    with Database(path) as database:
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=60, consumers=["events"])
        second = alarms.desk(database)
        assert second.state() == "UNACK"
        assert (second.alarm().event_id, second.alarm().onset_ns) == (event_id, onset_ns)
        records = second.records()
        chain = Chain()
        for record in records:
            chain.take(record)
        assert chain.fault == ""
        leaks = [each for each in records if each.subject == "yard.leak"]
        assert [each.new for each in leaks] == ["UNACK, active", "RTN_UNACK", "UNACK, active"]
        assert leaks[-1].at_ns == onset_ns  # when it came about, not when it was written
        events = outbox.waiting("events", Stream.EVENT, 9)
        assert [each.n for each in events] == list(range(1, len(events) + 1))
        assert [each.body for each in events].count(b"yard.leak") == 2


def test_a_stand_in_that_knew_no_alarms_undoes_none_when_it_hands_over(alarms, tmp_path):
    path = killed_copy(alarms, tmp_path)
    with Database(path) as database:
        assert alarms.desk(database).act(ActionKind.SHELVE, seconds=3600) is Outcome.DONE
    away = tmp_path / "away"
    path.parent.rename(away)  # as a disk that is not mounted yet
    path.parent.write_text("no folder")
    with Database.as_far_as_possible(path) as database:
        one = alarms.desk(database)
        one.look(1, state=LEAK)
        assert one.state() == "UNACK"  # better told twice than not at all
        path.parent.unlink()
        away.rename(path.parent)
        with pytest.raises(GasedgeError, match="starting anew"):
            one.look(80, state=LEAK)
    with Database(path) as database:
        second = alarms.desk(database)
        assert second.state() == "SHELVED"
        assert [each.new for each in second.records() if each.subject == "yard.leak"][-1:] == [
            "UNACK, active"
        ]


def test_what_overflows_while_a_disk_refuses_is_counted_and_said(alarms, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "_MOST", 4)
    path = tmp_path / "state" / FILE
    path.parent.mkdir()
    lock = in_the_way(path)
    with Database.as_far_as_possible(path) as database:
        one = alarms.desk(database)
        for _ in range(10):
            one.look(1, state=LEAK)
            one.look(1)
        lock.rmdir()
        assert one.desk.hand_over()
        records = one.records()
    assert (records[0].subject, records[0].result) == ("journal", "lost")
    assert records[0].comment.startswith("5 changes")  # of the nine that came about
    assert len(records) == 1 + 4


def test_what_waits_when_the_process_ends_is_kept_whenever_the_disk_was_asked_last(
    alarms, tmp_path
):
    path = tmp_path / FILE
    with Database(path) as database:
        one = alarms.desk(database)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            one.look(0.1, state=LEAK)
            assert one.records() == []
        one.desk.note(Entry(Category.SYSTEM, "plant process", new="ended"))
        assert one.records() == []  # it is asked once a second
        assert one.desk.hand_over()
        assert [each.new for each in one.records()][-2:] == ["UNACK, active", "ended"]
