"""The second copy of what the plant process keeps: no record goes with a page or a log.

Every transaction goes to both files, to the file itself first, and each counts them. So a copy has
as many as its file, or one less after a kill between the two. Where it has more, the file has lost
what was committed. A copy that could not follow is deleted: the one that is there is never old.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from contract.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["COPY", "COUNTED", "TWIN", "SecondCopy"]

_log = logging.getLogger(__name__)

COPY = "plant-copy.sqlite"
"""Name of the copy, in the same folder."""
TWIN = "twin"
"""Fact that both files have alike: a file that was put there from elsewhere has no copy yet."""
COUNTED = (
    "INSERT INTO fact VALUES ('transactions', '1') "
    "ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
)
"""Statement that counts a transaction, as its last."""
_UNFINISHED = ".new"  # ends the name of a copy that is being made
_REFUSED = ("full", "I/O error")  # what a disk says that does not take something
_SPARE = 4 << 20  # bytes that a new copy leaves free


class SecondCopy(Closing):
    """The copy of one file.

    Args:
        path: of the file.
        opened: opens a file of the same tables, or raises sqlite3.Error when it is broken.
    """

    def __init__(self, path: Path, opened: Callable[[str], sqlite3.Connection]) -> None:
        self._of, self._opened = path, opened
        self._path = path.with_name(COPY)
        self._file: sqlite3.Connection | None = None
        self._said = ""  # why there is none

    def close(self) -> None:
        """Close the copy; twice is harmless."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_ahead(self, main: sqlite3.Connection) -> bool:
        """Whether the copy holds transactions that its file has lost."""
        with contextlib.suppress(sqlite3.Error), self.whole() as copy:
            twin, count = _standing(main)
            other, more = _standing(copy)
            if not (twin or count or main.execute("SELECT 1 FROM audit LIMIT 1").fetchall()):
                return more > 0  # somebody has begun it anew
            return bool(twin) and twin == other and more > count
        return False

    def is_there(self) -> bool:
        """Whether there is one, in step or not."""
        return self._path.exists()

    def whole(self) -> contextlib.closing[sqlite3.Connection]:
        """The copy as it lies there.

        Raises:
            sqlite3.Error: when there is none, or it is broken.
        """
        if not self.is_there():
            raise sqlite3.OperationalError("there is no copy")
        return contextlib.closing(self._opened(str(self._path)))

    def fill(self, into: sqlite3.Connection) -> bool:
        """Give every row to a new file of the same tables, in a transaction; whether it could.

        Raises:
            sqlite3.Error: when the disk does not take them: the copy is right, and stays.
        """
        try:
            with self.whole() as copy:
                if self._is_old(*_standing(copy)):
                    return False
        except sqlite3.Error:
            return False
        into.execute("ATTACH ? AS copy", (str(self._path),))
        try:
            into.execute("BEGIN")
            tables = "SELECT name FROM copy.sqlite_master WHERE type = 'table'"
            for (name,) in into.execute(tables).fetchall():
                into.execute(f"INSERT INTO main.{name} SELECT * FROM copy.{name}")  # noqa: S608 - our own tables
            into.execute("COMMIT")
        except sqlite3.Error as error:  # more of it is broken than a check finds
            if any(word in str(error) for word in _REFUSED):
                raise
            return False
        finally:
            if into.in_transaction:
                into.execute("ROLLBACK")
            into.execute("DETACH copy")
        return True

    def keep_step_with(self, main: sqlite3.Connection) -> None:
        """Follow `main` from now on, from a new copy where the one there is not in step."""
        if self._file is not None:
            return
        try:
            self._file = self._in_step(main) or self._made_anew(main)
            self._said = ""
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def do(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Do what was done to the file."""
        if self._file is None:
            return
        if statement == "ROLLBACK" and not self._file.in_transaction:
            return  # the file refused to begin
        try:
            self._file.execute(statement, values)
        except sqlite3.Error as error:
            self._give_up(error)

    def delete(self) -> None:
        """Give its room to the file itself."""
        self.close()
        for end in ("", "-wal", "-shm", _UNFINISHED, f"{_UNFINISHED}-journal"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + end).unlink()

    def _is_old(self, twin: str, count: int) -> bool:
        """Whether the file, broken as it may be, still says that it had more, or another copy."""
        uri = f"{self._of.absolute().as_uri()}?mode=ro"
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(uri, uri=True)) as of,
        ):
            said, had = _standing(of)
            return bool(said) and (said != twin or had > count + 1)
        return False

    def _in_step(self, main: sqlite3.Connection) -> sqlite3.Connection | None:
        with contextlib.suppress(sqlite3.Error), contextlib.ExitStack() as unless_in_step:
            copy = unless_in_step.enter_context(self.whole())
            standing = _standing(main)
            if standing[0] and standing == _standing(copy):
                unless_in_step.pop_all()
                return copy
        return None

    def _made_anew(self, main: sqlite3.Connection) -> sqlite3.Connection:
        self.delete()
        if shutil.disk_usage(self._of.parent).free < 2 * self._of.stat().st_size + _SPARE:
            raise OSError("there is too little room")
        if not _standing(main)[0]:
            main.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (TWIN, secrets.token_hex(8)))
            # so that a file whose log goes still says whose copy this is
            main.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        new = self._path.with_name(f"{COPY}{_UNFINISHED}")
        os.close(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(new)) as into:
            main.backup(into)
        new.rename(self._path)
        return self._opened(str(self._path))

    def _give_up(self, error: sqlite3.Error | OSError) -> None:
        self.delete()
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("%s: no second copy is kept of it: %s", self._of, error)


def _standing(file: sqlite3.Connection) -> tuple[str, int]:
    """Which file or copy of it this is, and how many transactions it has; ("", 0) of a damaged."""
    facts = dict(
        file.execute("SELECT name, value FROM fact WHERE name IN (?, 'transactions')", (TWIN,))
    )
    with contextlib.suppress(ValueError):
        return facts.get(TWIN, ""), int(facts.get("transactions", 0))
    return "", 0
