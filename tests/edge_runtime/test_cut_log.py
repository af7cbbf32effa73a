"""A log that lost its end is noticed, told, and lets no event number mean two events."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from edge_runtime.cut_log import pages_cut_off
from edge_runtime.database import FILE, SERIES, Database

_FACT = "INSERT OR REPLACE INTO fact VALUES (?, ?)"


def written(database, number, size=100):
    with database.transaction():
        database.rows(_FACT, (f"fact {number}", "x" * size))


def as_kill_9_leaves_it(path, folder):
    """The three files as they are at this moment."""
    folder.mkdir()
    for end in ("", "-wal", "-shm"):
        file = path.with_name(path.name + end)
        if file.exists():
            shutil.copy(file, folder)
    return folder / FILE


@pytest.fixture
def left(tmp_path):
    """A database that was killed with some of its pages in the log only."""
    with Database(tmp_path / FILE) as database:
        with database.transaction():
            database.rows(_FACT, (SERIES, "a"))
        for number in range(20):
            written(database, number)
        return as_kill_9_leaves_it(tmp_path / FILE, tmp_path / "left")


def test_what_kill_9_leaves_at_any_moment_is_not_taken_for_a_cut(tmp_path):
    dice = random.Random(5)
    with Database(tmp_path / FILE) as database:
        for number in range(60):
            written(database, number % 7, dice.randint(10, 40_000))
            if number % 11 == 0:
                database.rows(f"PRAGMA wal_checkpoint({dice.choice(['PASSIVE', 'RESTART'])})")
            copy = as_kill_9_leaves_it(tmp_path / FILE, tmp_path / f"{number}")
            assert pages_cut_off(copy) == 0
            with Database(copy) as again:
                assert not again.put_aside


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_log_that_lost_its_end_is_told_and_events_are_numbered_anew(left, share):
    log = left.with_name(FILE + "-wal")
    os.truncate(log, int(log.stat().st_size * share))
    assert pages_cut_off(left) > 0
    with Database(left) as database:
        assert "was cut" in database.put_aside
        assert "were lost" in database.put_aside
        assert database.rows("SELECT value FROM fact WHERE name = ?", (SERIES,)) == []
        database.put_aside_is_told()
    with Database(left) as database:
        assert not database.put_aside


def test_a_log_that_is_gone_is_told(left):
    left.with_name(FILE + "-wal").unlink()
    assert pages_cut_off(left) > 0
    with Database(left) as database:
        assert "was cut" in database.put_aside


def test_an_index_that_is_missing_damaged_or_of_another_log_says_nothing(left):
    index = left.with_name(FILE + "-shm")
    log = left.with_name(FILE + "-wal")
    os.truncate(log, log.stat().st_size // 2)
    whole = index.read_bytes()
    for damaged in (b"", whole[:50], bytes(len(whole)), os.urandom(len(whole))):
        index.write_bytes(damaged)
        assert pages_cut_off(left) == 0
    index.write_bytes(whole)
    with log.open("r+b") as file:
        file.seek(16)
        file.write(b"another!")
    assert pages_cut_off(left) == 0
    index.unlink()
    assert pages_cut_off(left) == 0
