"""What one place lost is in the second: no record goes with a page, with a log or with a file."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess

import pytest

from contract.alarms import ActionKind, Outcome
from contract.audit import Chain
from contract.errors import GasedgeError, NotKeptError
from contract.tags import LeakState
from edge_runtime.database import FILE, SERIES, Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.second_copy import COPY

_FACT = "INSERT OR REPLACE INTO fact VALUES (?, ?)"
_PAGE = 4096


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / FILE


def an_outbox(database):
    return Outbox(database, max_bytes=1 << 30, max_age_s=60, consumers=["events"])


def written(alarms, database, count=40):
    """Alarms, actions and events; a few of these have arrived."""
    outbox = an_outbox(database)
    database.rows(_FACT, (SERIES, "a"))
    one = alarms.desk(database)
    one.look(1, state=LeakState.LEAK)
    for number in range(count):
        one.act(ActionKind.COMMENT, comment=f"{number} " + "x" * 400)
        outbox.put(Stream.EVENT, bytes(1000), number)
    outbox.delivered("events", Stream.EVENT, count // 4)
    return one


def content(path):
    """Every row of every table but what counts and names."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        names = [n for (n,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(file.execute(f"SELECT * FROM {name}")) for name in names}


def is_whole(records):
    chain = Chain()
    for record in records:
        chain.take(record)
    return chain.fault == ""


def as_kill_9_leaves_it(path, folder):
    """All that lies beside the file at this moment, but who holds it."""
    folder.mkdir()
    for file in path.parent.iterdir():
        if not file.name.endswith((".lock", ".reserve")):
            shutil.copy(file, folder)
    return folder / FILE


def test_copy_holds_every_row_of_its_file(alarms, path):
    with Database(path) as database:
        one = written(alarms, database)
        with pytest.raises(ZeroDivisionError), database.transaction():
            database.rows(_FACT, ("never", "kept"))
            1 / 0  # noqa: B018 - what fails is undone in both
        with pytest.raises(NotKeptError), database.transaction():
            database.rows("DELETE FROM audit")
        one.act(ActionKind.ACKNOWLEDGE)
    assert content(path) == content(path.with_name(COPY))
    assert len(content(path)["audit"]) > 40


@pytest.mark.parametrize("seed", range(8))
def test_no_record_goes_with_a_page(alarms, path, tmp_path, seed):
    with Database(path) as database:
        written(alarms, database)
        records = len(alarms.desk(database).records())
        waiting = an_outbox(database).waiting("events", Stream.EVENT, 1000)
        left = as_kill_9_leaves_it(path, tmp_path / "left")
    with contextlib.closing(sqlite3.connect(left)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    octets = bytearray(left.read_bytes())
    dice = random.Random(seed)
    at = dice.randrange(len(octets) // _PAGE) * _PAGE
    octets[at : at + _PAGE] = dice.randbytes(_PAGE)
    left.write_bytes(octets)
    with Database(left) as database:
        assert "its copy was whole" in database.put_aside
        assert database.rows("SELECT value FROM fact WHERE name = ?", (SERIES,)) == [("a",)]
        one = alarms.desk(database)
        assert one.state() == "UNACK"
        found = one.records()
        assert [each.n for each in found][:records] == [*range(1, records + 1)]
        assert is_whole(found)
        assert "broken" in [each.result for each in found]
        assert an_outbox(database).waiting("events", Stream.EVENT, 1000) == waiting
    assert content(left) == content(left.with_name(COPY))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_no_record_goes_with_a_log_that_lost_its_end(alarms, path, tmp_path, share):
    with Database(path) as database:
        written(alarms, database, 10)  # so few that the log was never begun anew
        records = len(alarms.desk(database).records())
        waiting = an_outbox(database).waiting("events", Stream.EVENT, 1000)
        left = as_kill_9_leaves_it(path, tmp_path / "left")
    log = left.with_name(f"{FILE}-wal")
    os.truncate(log, int(log.stat().st_size * share))
    left.with_name(f"{FILE}-shm").unlink()  # as after a start of the machine
    with Database(left) as database:
        assert "had lost what was written last" in database.put_aside
        assert database.rows("SELECT value FROM fact WHERE name = ?", (SERIES,)) == [("a",)]
        one = alarms.desk(database)
        assert [each.n for each in one.records()][:records] == [*range(1, records + 1)]
        assert is_whole(one.records())
        assert an_outbox(database).waiting("events", Stream.EVENT, 1000) == waiting


def test_killed_between_the_two_the_file_is_right_and_the_copy_made_anew(alarms, path, tmp_path):
    with Database(path) as database:
        written(alarms, database)
        before = as_kill_9_leaves_it(path, tmp_path / "before")
        database.rows(_FACT, ("last", "one"))
        left = as_kill_9_leaves_it(path, tmp_path / "left")
    for end in ("", "-wal", "-shm"):
        shutil.copy(before.with_name(COPY + end), left.parent)
    with Database(left) as database:
        assert database.put_aside == ""
        assert database.rows("SELECT value FROM fact WHERE name = 'last'") == [("one",)]
    assert content(left) == content(left.with_name(COPY))


def test_file_from_elsewhere_is_not_overruled_by_the_copy_that_lies_there(alarms, path, tmp_path):
    with Database(path) as database:
        written(alarms, database)
    other = tmp_path / "other"
    other.mkdir()
    with Database(other / FILE) as database:
        database.rows(_FACT, ("from", "elsewhere"))
    shutil.copy(other / FILE, path)
    with Database(path) as database:
        assert database.put_aside == ""
        assert database.rows("SELECT value FROM fact WHERE name = 'from'") == [("elsewhere",)]
    assert content(path) == content(path.with_name(COPY))


def test_copy_that_is_broken_is_made_anew(alarms, path):
    with Database(path) as database:
        written(alarms, database)
    path.with_name(COPY).write_bytes(os.urandom(5 * _PAGE))
    with Database(path) as database:
        assert database.put_aside == ""
    assert content(path) == content(path.with_name(COPY))


def test_copy_that_cannot_follow_holds_nothing_up_and_is_deleted(alarms, path, caplog):
    with Database(path) as database:
        one = written(alarms, database)
        copy = path.with_name(COPY)
        with contextlib.closing(sqlite3.connect(copy)) as file:
            file.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        count = len(one.records())
        one.act(ActionKind.ACKNOWLEDGE)
        assert len(one.records()) > count
        assert not copy.exists()
        assert "no second copy" in caplog.text
        database.reserve()  # as when the disk has room again
        one.act(ActionKind.COMMENT, comment="once more")
    assert content(path) == content(copy)


def test_full_disk_takes_the_copy_first(alarms, path, monkeypatch):
    with Database(path) as database:
        one = written(alarms, database)
        monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        database._connection.execute(f"PRAGMA max_page_count = {path.stat().st_size // _PAGE}")
        for number in range(40):  # until the file has no page left
            one.act(ActionKind.COMMENT, comment=f"{number} " + "x" * 2000)
        assert not path.with_name(COPY).exists()
        database.reserve()
        assert not path.with_name(COPY).exists()


def rubbish_in(path, seed=0):
    """Every page but the first is another one."""
    octets = path.read_bytes()
    rest = random.Random(seed).randbytes(len(octets) - _PAGE)
    path.write_bytes(octets[:_PAGE] + rest)


def test_page_found_broken_while_running_is_mended_at_once_and_keeps_its_copy(alarms, path):
    with Database(path) as database:
        written(alarms, database)
    with Database(path) as database:
        outbox = an_outbox(database)
        one = alarms.desk(database)
        one.desk.keep_with(lambda alarm: outbox.put(Stream.EVENT, alarm.id.encode(), 0))
        one.look(31, state=LeakState.LEAK)
        records = len(one.records())
        waiting = [each.n for each in outbox.waiting("events", Stream.EVENT, 1000)]
        database.rows("PRAGMA cache_size = 1")
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        rubbish_in(path)
        with pytest.raises(GasedgeError, match="starting anew"):
            one.look(60)  # the leak ends
        assert len(outbox.waiting("events", Stream.EVENT, 1000)) > len(waiting)
    with Database(path) as database:
        assert "its copy was whole" in database.put_aside
        one = alarms.desk(database)
        found = one.records()
        assert is_whole(found)
        assert [each.n for each in found][:records] == [*range(1, records + 1)]
        assert one.state() == "RTN_UNACK"
        kept = [each.n for each in an_outbox(database).waiting("events", Stream.EVENT, 1000)]
        assert kept[: len(waiting)] == waiting
        assert kept == [*range(kept[0], kept[-1] + 1)]
    assert content(path) == content(path.with_name(COPY))


@pytest.mark.parametrize("left", [b"", None])
def test_file_that_is_gone_or_empty_is_not_begun_anew_over_its_copy(alarms, path, left):
    with Database(path) as database:
        records = len(written(alarms, database).records())
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    with Database(path) as database:
        assert "was empty" in database.put_aside
        found = alarms.desk(database).records()
        assert is_whole(found)
        assert len(found) > records


def test_file_that_was_begun_anew_while_it_was_asked_for_gets_its_rows_back(alarms, path):
    with Database(path) as database:
        records = len(written(alarms, database).records())
    path.unlink()
    assert Database(path, refusal=NotKeptError("the disk was gone")).is_usable_again()
    assert path.stat().st_size
    with Database(path) as database:
        assert "its copy was whole" in database.put_aside
        assert len(alarms.desk(database).records()) > records


def test_count_that_is_damaged_ends_nothing(alarms, path):
    for name in (FILE, COPY):
        with Database(path) as database:
            records = len(written(alarms, database, 3).records())
        with contextlib.closing(sqlite3.connect(path.with_name(name))) as file, file:
            file.execute("UPDATE fact SET value = '1#' WHERE name = 'transactions'")
        with Database(path) as database:
            assert database.put_aside == ""
            assert len(alarms.desk(database).records()) == records
        assert content(path) == content(path.with_name(COPY))


def test_busy_file_costs_no_copy(alarms, path):
    with Database(path) as database:
        one = written(alarms, database, 3)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.NOT_KEPT
        assert path.with_name(COPY).exists()
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.DONE
    assert content(path) == content(path.with_name(COPY))


def test_copy_that_was_given_up_is_made_anew_while_running(alarms, path):
    copy = path.with_name(COPY)
    with Database(path) as database:
        one = written(alarms, database, 3)
        database._second.delete()
        one.look(1)
        assert not copy.exists()
        one.clock.wait(600)
        one.look(1)
        assert copy.exists()
    assert content(path) == content(copy)


def test_what_an_unfinished_copy_took_is_given_back(alarms, path):
    left = [path.with_name(f"{COPY}.new{end}") for end in ("", "-journal")]
    with Database(path) as database:
        written(alarms, database, 3)
        for each in left:
            each.write_bytes(bytes(_PAGE))
        database._second.delete()
        assert not any(each.exists() for each in left)


def test_copy_of_something_older_does_not_take_the_place_of_a_broken_file(alarms, path, tmp_path):
    with Database(path) as database:
        written(alarms, database)
        old = as_kill_9_leaves_it(path, tmp_path / "old")
        for number in range(50):
            database.rows(_FACT, (f"later {number}", "x"))
    for end in ("-wal", "-shm"):
        path.with_name(COPY + end).unlink(missing_ok=True)
    for end in ("", "-wal", "-shm"):
        shutil.copy(old.with_name(COPY + end), path.parent)
    octets = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as file:
        (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    octets[(root - 1) * _PAGE : root * _PAGE] = b"\x55" * _PAGE
    path.write_bytes(octets)
    with Database(path) as database:
        assert "rows that could be read" in database.put_aside
        assert database.rows("SELECT value FROM fact WHERE name = 'later 49'") == [("x",)]


def small_disk(place, size_kb):
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "none", str(place)]
    if (
        not shutil.which("mount")
        or subprocess.run(words, capture_output=True, check=False).returncode
    ):
        pytest.skip("no disk of its own can be made here")


def test_mending_that_a_disk_has_no_room_for_leaves_file_and_copy_as_they_are(
    alarms, path, tmp_path
):
    with Database(path) as database:
        records = len(written(alarms, database, 400).records())
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rubbish_in(path)
    size_kb = path.stat().st_size >> 10
    place = tmp_path / "disk"
    small_disk(place, size_kb * 7 // 2 + 200)  # both, and the log of a third, but not the third
    try:
        for name in (FILE, COPY):
            shutil.copy(path.with_name(name), place)
        before = (place / FILE).read_bytes()
        with pytest.raises(NotKeptError, match="full"):
            Database(place / FILE)
        assert (place / FILE).read_bytes() == before
        assert not [each for end in ("mended", "broken") for each in place.glob(f"*.{end}*")]
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        with Database(place / FILE) as database:
            assert "its copy was whole" in database.put_aside
            assert len(alarms.desk(database).records()) > records
    finally:
        subprocess.run(["umount", str(place)], check=True)
