"""What the plant process keeps on disk: one SQLite file, each transaction on the disk or undone.

WAL with synchronous=FULL: what is committed has been synced, so it outlives kill -9 and, where the
disk honours a sync, a cut of power (sqlite.org/pragma.html#pragma_synchronous). A second copy has
all of it again (`edge_runtime.second_copy`). Another file holds a little room; both are given up
when the disk is full, so that the last alarms can still be written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from contract.closing import Closing
from contract.errors import ConfigError, NotKeptError
from edge_runtime.cut_log import pages_cut_off
from edge_runtime.device.disk_probe import DiskProbe
from edge_runtime.salvage import salvage
from edge_runtime.second_copy import COUNTED, SecondCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["FILE", "SERIES", "Database"]

_log = logging.getLogger(__name__)

FILE = "plant.sqlite"
"""Name of the file in `[plant] state_dir`."""
SERIES = "event series"
"""Fact that names the numbering of events; it goes where numbers may have been lost: then the same
ones come again, and whoever knows events by number must not take the new ones for the old."""
_RESERVE = 1 << 20
_PUT_ASIDE = "put aside"
_PROBE = "INSERT OR REPLACE INTO fact VALUES ('probe', random())"
_ANSWER_S = 2.0  # that a disk may take to answer, before it counts as hanging
_BUSY_S = 0.2  # that another process may keep us, and so every interface, waiting
Kept = TypeVar("Kept")
_READS = ("SELECT", "PRAGMA")  # how statements begin that change nothing
_BROKEN = ("malformed", "not a database", "corrupt", "disk image")

_TABLES = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarm (id TEXT PRIMARY KEY, memory TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (n INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    stream INTEGER NOT NULL, n INTEGER NOT NULL, at_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS outbox_order ON outbox (stream, n);
CREATE TABLE IF NOT EXISTS stream (
    stream INTEGER PRIMARY KEY, last_n INTEGER NOT NULL, bytes INTEGER NOT NULL,
    held INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS cursor (
    consumer TEXT NOT NULL, stream INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (consumer, stream)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_grows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit journal is append-only'); END;
"""


class Database(Closing):
    """The file, shared by all parts of the process; any thread may call.

    Args:
        path: the file; None keeps everything in memory.
        refusal: why the file cannot be used: nothing is kept, all that should be raises this.
        is_broken: a page of it was found to be, so that it is put aside, whatever a check says.

    Raises:
        ConfigError: when another process uses the file.
        NotKeptError: when the file can neither be used nor be put aside.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        refusal: NotKeptError | None = None,
        is_broken: bool = False,
    ) -> None:
        self.path = path
        self.refusal = refusal  # why nothing can be kept
        self.remembers = refusal is None  # whether it knows what the file remembers of alarms
        self._hangs = False  # so that the file must not even be read
        self.openings = 0  # after the first
        self._is_broken = False  # as was found while it was used
        self._disk = DiskProbe(path.parent) if path is not None else None
        self._owner: int | None = None  # the lock that keeps other processes out
        self._second: SecondCopy | None = None
        self.put_aside = ""  # in words, when a file was broken and nobody has been told yet
        self._lock = threading.RLock()
        self._depth = 0
        self.on_full: Callable[[], None] = lambda: None  # deletes what may be lost
        if path is None or refusal is not None:
            self._connection = _open(":memory:")
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotKeptError(
                f"{path.parent}: cannot hold the plant's state ({error.strerror})"
            ) from error
        self._keep_others_out(path)
        try:
            _finish_mending(path)
            # SQLite gives its log the mode of the file
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
            cut_off = pages_cut_off(path)
            self._second = SecondCopy(path, _open)
            if not path.stat().st_size and self._second.is_there():
                self._mend(path, "was empty")
            elif is_broken:
                self._mend(path, "was broken")
            self._connection = self._opened(path)
            if self._second.is_ahead(self._connection):
                self._connection.close()
                self._mend(path, "had lost what was written last")
                self._connection = _open(str(path))
            elif cut_off:
                _tell_of_a_cut(self._connection, path, cut_off)
            told = self.rows("SELECT value FROM fact WHERE name = ?", (_PUT_ASIDE,))
            self.put_aside = str(told[0][0]) if told else ""
        except BaseException as error:
            self._let_others_in()
            if isinstance(error, (OSError, sqlite3.Error)):
                raise _not_kept(path, error) from error
            raise
        self.reserve()

    @classmethod
    def as_far_as_possible(cls, path: Path) -> Database:
        """The file, or where it cannot be used, a stand-in that keeps nothing and says so.

        The stand-in knows what alarms the file remembers, where it can at least be read. A disk
        that does not answer is not touched: it would keep us, and so every interface, for ever.
        """
        disk = DiskProbe(path.parent)
        if not disk.word(_ANSWER_S).answers:
            error = NotKeptError(f"{path.parent}: the disk does not answer; see to it")
            _log.error("%s", error)
            stand_in = cls(path, refusal=error)
            stand_in._disk = disk  # its question may still wait
            return stand_in
        try:
            return cls(path)
        except NotKeptError as error:
            _log.error("%s", error)
            stand_in = cls(path, refusal=error)
            for how in ("mode=ro", "immutable=1"):  # without the log, where that cannot be read
                with contextlib.suppress(sqlite3.Error):
                    uri = f"{path.absolute().as_uri()}?{how}"
                    with contextlib.closing(
                        sqlite3.connect(uri, timeout=_BUSY_S, uri=True)
                    ) as read:
                        kept = read.execute("SELECT id, memory FROM alarm").fetchall()
                    stand_in._connection.executemany("INSERT INTO alarm VALUES (?, ?)", kept)
                    stand_in.remembers = True
                    break
            return stand_in

    def take_up(self) -> None:
        """Open the file anew and be it from now on: it takes something again, or can be mended.

        Raises:
            ConfigError: when another process uses it by now.
            NotKeptError: when it cannot be used after all.
        """
        with self._lock:
            self.close()  # before it may be replaced: SQLite deletes a log by its name
            self._second = None
            self._connection = _open(":memory:")
            file = Database(self.path, is_broken=self._is_broken)
            self._connection.close()
            self._connection, self._owner = file._connection, file._owner
            self._second = file._second
            self.openings += 1
            self.refusal, self._hangs, self._is_broken = None, False, False

    def refuse(self, error: NotKeptError) -> None:
        """Keep nothing from now on, until the file takes something again."""
        self.refusal = error

    def disk_hangs(self, error: NotKeptError) -> None:
        """Touch the file no more, until it takes something again."""
        self.refusal, self._hangs = error, True

    def put_aside_is_told(self) -> None:
        """Forget `put_aside`, which is written down elsewhere now.

        Raises:
            NotKeptError: when the disk did not take it.
        """
        self.keep(lambda: self.rows("DELETE FROM fact WHERE name = ?", (_PUT_ASIDE,)))
        self.put_aside = ""

    def is_usable_again(self) -> bool:
        """Whether the file takes something by now, or is broken, which opening it anew mends."""
        if self.path is None or self._disk is None or not self._disk.word(_ANSWER_S).answers:
            return False
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.closing(_connected(str(self.path))) as again:
                again.executescript(_TABLES)  # a new file may have none
                again.execute(_PROBE)
        except sqlite3.DatabaseError as error:
            return _is_broken(error)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the file; twice is harmless."""
        with self._lock:
            if self._second is not None:
                self._second.close()
            self._connection.close()
            self._let_others_in()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is kept when this ends, or nothing of it; they may nest.

        Raises:
            NotKeptError: when the disk did not take it.
        """
        if self.refusal is not None:
            raise self.refusal
        with self._lock:
            if self._depth:
                with self._plain():
                    yield
                return
            self._depth = 1
            try:
                with self._plain():
                    self._connection.execute("BEGIN IMMEDIATE")
                    self._to_the_copy("BEGIN IMMEDIATE")
                    yield
                    self.rows(COUNTED)
                    self._connection.execute("COMMIT")
                    self._to_the_copy("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                self._to_the_copy("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query gives.

        Raises:
            NotKeptError: when the file cannot be read or written.
        """
        if self._hangs and self.refusal is not None:
            raise self.refusal
        with self._lock, self._plain():
            if statement.startswith(_READS):
                return self._connection.execute(statement, values).fetchall()
            if not self._depth:
                with self.transaction():
                    return self.rows(statement, values)
            found = self._connection.execute(statement, values).fetchall()
            self._to_the_copy(statement, values)
            return found

    def keep(self, write: Callable[[], Kept]) -> Kept:
        """Do `write` in a transaction; when the disk is full, once more after making room.

        Raises:
            NotKeptError: when the disk did not take it.
        """
        try:
            with self.transaction():
                return write()
        except NotKeptError as error:
            if self._depth or self.path is None or self.refusal is not None:
                raise
            lacks_room = _lacks_room(error, self.path)
            self._give_up_reserve()
            with self._lock:
                if self._second is not None and lacks_room:
                    self._second.delete()
            with contextlib.suppress(NotKeptError):
                self.rows("PRAGMA wal_checkpoint(RESTART)")  # the log's room is used anew
                self.on_full()
            with self.transaction():
                return write()

    def probe(self) -> None:
        """Write something.

        Raises:
            NotKeptError: when the disk does not take it.
        """
        with self.transaction():
            self.rows(_PROBE)

    def reserve(self) -> None:
        """Hold the room and the copy again that a full disk made us give up, where it allows."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            if not self._reserve_path.exists() or self._reserve_path.stat().st_size != _RESERVE:
                with self._reserve_path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, _RESERVE)
        with self._lock:
            if self._second is not None and self.refusal is None:
                self._second.keep_step_with(self._connection)

    def _to_the_copy(self, statement: str, values: Sequence[Any] = ()) -> None:
        if self._second is not None:
            self._second.do(statement, values)

    def _opened(self, path: Path) -> sqlite3.Connection:
        try:
            return _open(str(path))
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                self._give_up_reserve()
                return _open(str(path))
        self._mend(path, "was broken")
        return _open(str(path))

    def _mend(self, path: Path, why: str) -> None:
        self._give_up_reserve()  # the rows need room twice
        _mend(path, self._second, why)

    def _keep_others_out(self, path: Path) -> None:
        """One process at a time: two would number and chain past each other."""
        try:
            self._owner = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotKeptError(
                f"{path.parent}: cannot hold the plant's state ({error.strerror})"
            ) from error
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._let_others_in()
            raise ConfigError(
                f"{path.parent}: is the state_dir of another gasedge that runs; give each its own"
            ) from error

    def _let_others_in(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def _give_up_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve_path.unlink()

    @property
    def _reserve_path(self) -> Path:
        return Path(f"{self.path}.reserve")

    @contextlib.contextmanager
    def _plain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            refused = _not_kept(self.path, error)
            if self._owner is not None and _is_broken(error):
                self._is_broken = True  # the copy is not to follow, it is to mend the file
                self.refuse(refused)
            raise refused from error


def _connected(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _open(path: str) -> sqlite3.Connection:
    connection = _connected(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=256")  # pages: what the log takes stays small
        connection.execute("PRAGMA journal_size_limit=1048576")
        connection.execute("PRAGMA cache_size=-256")  # KiB: 2 MB would fill up over a day
        _check(connection)
        connection.executescript(_TABLES)
        if path == ":memory:":  # which may not grow for ever
            connection.execute("DROP TRIGGER audit_grows")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")


def _is_broken(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in _BROKEN)


def _lacks_room(error: NotKeptError, path: Path) -> bool:
    """Whether it may be room that the disk lacks, and not something that the copy is there for."""
    if "full" in str(error.__cause__):
        return True
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _RESERVE
    return True


def _mend(path: Path, second: SecondCopy | None, why: str) -> None:
    """Put a broken file aside and its copy, or what can be read of it, in its place.

    The new file is whole before the broken one goes, and itself remembers that this must be told:
    whenever this is broken off, the next start goes on with it. Nothing of the broken one is
    deleted.
    """
    stamp = dt.datetime.now(dt.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    new = _mended(path)
    said = f"{path.name} {why} and is kept as {aside.name}"
    with contextlib.ExitStack() as unless_made:
        unless_made.callback(_remove, new)
        _remove(new)
        os.close(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with contextlib.closing(_open(str(new))) as into:
            copied = second is not None and second.fill(into)
            into.execute("BEGIN")
            if copied:
                said += "; its copy was whole and is used instead"
            else:
                said += f"; {salvage(path, into)}"
                into.execute("DELETE FROM fact WHERE name = ?", (SERIES,))
            into.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (_PUT_ASIDE, said))
            into.execute(COUNTED)  # the copy has not this
            into.execute("COMMIT")
            # closing does it, too, but does not say when the disk has no room for it
            into.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        unless_made.pop_all()
    for each, kept in zip(_with_log(path), _with_log(aside), strict=True):
        with contextlib.suppress(FileNotFoundError):
            each.rename(kept)
    new.rename(path)
    _log.error("%s", said)


def _tell_of_a_cut(connection: sqlite3.Connection, path: Path, pages: int) -> None:
    """Have the next reader of `put_aside` told, and events numbered anew."""
    said = f"{path.name}-wal was cut: {pages} pages that were written last were lost"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", (_PUT_ASIDE, said))
    connection.execute("DELETE FROM fact WHERE name = ?", (SERIES,))
    connection.execute(COUNTED)
    connection.execute("COMMIT")
    _log.error("%s", said)


def _finish_mending(path: Path) -> None:
    """Take up the file of a mending that was broken off between its two renamings."""
    new = _mended(path)
    if new.exists() and not path.exists():
        new.rename(path)


def _mended(path: Path) -> Path:
    return path.with_name(f"{path.name}.mended")


def _remove(file: Path) -> None:
    for each in _with_log(file):
        each.unlink(missing_ok=True)


def _with_log(path: Path) -> list[Path]:
    """The file itself comes last: while it is there, its log still belongs to it."""
    return [path.with_name(path.name + end) for end in ("-wal", "-shm", "")]


def _not_kept(path: Path | None, error: sqlite3.Error | OSError) -> NotKeptError:
    return NotKeptError(
        f"{path or 'memory'}: the plant's state cannot be kept ({error}); see to the disk"
    )
