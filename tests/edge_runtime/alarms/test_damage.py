"""A damaged file or a busy disk keeps no alarm back, and is told."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from contract.alarms import ActionKind, Outcome
from contract.errors import NotKeptError
from contract.tags import LeakState
from edge_runtime import database as module
from edge_runtime.alarms.desk import DEVICE_ALARM
from edge_runtime.alarms.read_journal import read_records
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Stream
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.keeping import keeping
from edge_runtime.second_copy import COPY


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


def damage(path, change):
    """Do something to the file that nobody may do."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TRIGGER audit_stays")
        change(file)


@pytest.mark.parametrize(
    "left", ["CAST('{\"n\": 3, rubbish' AS TEXT)", "CAST(x'7b22ff' AS TEXT)", "'{}'"]
)
def test_a_damaged_newest_record_keeps_no_alarm_and_no_action_back(alarms, path, left):
    with Database(path) as database:
        one = alarms.desk(database)
        one.look(1, state=LeakState.LEAK)
        last = one.records()[-1]
    damage(path, lambda file: file.execute(f"UPDATE audit SET record = {left} WHERE n = {last.n}"))
    with Database(path) as database:
        one = alarms.desk(database)
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.DONE
        assert [each.n for each in one.records()] == [*range(1, last.n), last.n + 1]


def test_a_damaged_alarm_memory_is_told_and_audited(alarms, path):
    with Database(path) as database:
        alarms.desk(database).look(1, state=LeakState.LEAK)
    damage(path, lambda file: file.execute("UPDATE alarm SET memory = '{' WHERE id = 'yard.leak'"))
    with Database(path) as database:
        one = alarms.desk(database)
        one.look(1, state=LeakState.LEAK)
        assert "yard.leak" in one.alarm(DEVICE_ALARM).message
        assert ("yard.leak", "broken") in [(each.subject, each.result) for each in one.records()]


def test_a_file_that_is_busy_at_the_start_turns_no_event_off_for_ever(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        config = PlantConfig(state_dir=path.parent)
        with Database(path):
            pass
        other.execute("BEGIN IMMEDIATE")
        with keeping(config, [], config_sha256="", consumers={"events": (Stream.EVENT,)}) as kept:
            database = kept.desk.journal._data
            with pytest.raises(NotKeptError):
                kept.outbox.put(Stream.EVENT, b"x", 0)
            assert isinstance(database.refusal, NotKeptError)  # a new start is asked for, not less
            assert not database.is_usable_again()
            other.execute("ROLLBACK")
            assert database.is_usable_again()
        told = [each.new for each in read_records(path.parent) if each.subject == "plant process"]
        assert told[0].startswith("started, ")  # what waited at the end
        assert told[1:] == ["ended"]


def broken_file(alarms, path, count=100):
    """A journal with a page of rubbish in its middle and no copy; how many records it had."""
    with Database(path) as database:
        one = alarms.desk(database)
        one.look(1, state=LeakState.LEAK)
        for number in range(count):
            one.act(ActionKind.COMMENT, comment=f"{number} " + "x" * 400)
        records = len(one.records())
    octets = bytearray(path.read_bytes())
    middle = len(octets) // 2 // 4096 * 4096
    octets[middle : middle + 4096] = b"\x55" * 4096
    path.write_bytes(octets)
    path.with_name(COPY).unlink()
    return records


def test_a_broken_file_is_left_to_the_next_start_which_tells_of_it(alarms, path):
    broken_file(alarms, path)
    stand_in = Database(path, refusal=NotKeptError("the disk was gone"))
    assert stand_in.is_usable_again()
    assert not list(path.parent.glob("*.broken-*"))
    with Database(path) as database:
        assert "rows that could be read" in database.put_aside
        alarms.desk(database)
        assert database.put_aside == ""
    with Database(path) as database:
        assert database.put_aside == ""


class CutOff(BaseException):
    """As at a cut of power."""


@pytest.mark.parametrize("steps_done", range(5))
def test_a_mending_that_is_broken_off_anywhere_is_gone_on_with(
    alarms, path, monkeypatch, steps_done
):
    records = broken_file(alarms, path, count=20)
    left = steps_done

    def cut_off(step):
        def stepped(*given):
            nonlocal left
            if left == 0:
                raise CutOff
            left -= 1
            return step(*given)

        return stepped

    with monkeypatch.context() as patch, pytest.raises(CutOff):
        patch.setattr(type(path), "rename", cut_off(type(path).rename))
        patch.setattr(module, "salvage", cut_off(module.salvage))
        Database(path)
    with Database(path) as database:
        one = alarms.desk(database)
        assert one.state() == "UNACK"
        told = [each.n for each in one.records() if each.result == "broken"]
        assert told == [records + 1]
