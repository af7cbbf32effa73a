"""What must still reach somebody: kept on disk until every consumer's peer has acknowledged it.

Three streams, each numbered without a gap from 1. When room or age runs out masks go first, then
telemetry, both counted; an event never goes before it was delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from contract.closing import Closing
from contract.errors import NotKeptError
from edge_runtime.database import Database

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["Figures", "Outbox", "Record", "Stream"]

_log = logging.getLogger(__name__)

_SECOND = 1_000_000_000
_DROP_AT_ONCE = 64  # rows: making room must not hold up what is to be kept for long


class Stream(Enum):
    """What a record is; the value is its number on disk."""

    EVENT = 1
    TELEMETRY = 2
    MASK = 3


_LOSABLE = (Stream.MASK, Stream.TELEMETRY)  # in this order


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to deliver."""

    n: int  # gapless per stream, from 1
    stream: Stream
    at_ns: int  # when it came about, UTC, ns since 1970
    body: bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """How the outbox stands."""

    depth: int  # records that somebody has not acknowledged yet
    oldest_age_s: float  # of those, 0 without any
    dropped: int  # masks and telemetry that nobody got, since the file was made
    bytes: int


class Outbox(Closing):
    """Records that wait for their consumers. Any thread may call.

    Args:
        database: where they are kept, shared with others or a file of its own.
        max_bytes: of all records' bodies; beyond it masks and telemetry are dropped.
        max_age_s: of masks and telemetry.
        consumers: who gets them, each all streams or those named; a new one gets what is put from
            now on, and nobody waits for one that is no longer named.

    On a database that refuses everything it is empty, and takes records once that takes something.

    Raises:
        NotKeptError: when the file cannot be used.
    """

    def __init__(
        self,
        database: Database | Path,
        *,
        max_bytes: int,
        max_age_s: float,
        consumers: Sequence[str] | Mapping[str, Collection[Stream]],
    ) -> None:
        self._own = not isinstance(database, Database)
        self._data = database if isinstance(database, Database) else Database(database)
        self._max_bytes = max_bytes
        self._max_age_ns = round(max_age_s * _SECOND)
        asked = {
            name: tuple(consumers[name]) if isinstance(consumers, Mapping) else tuple(Stream)
            for name in consumers
        }
        self._asked = asked
        self._prepared = -1  # which opening of the file; none so far
        if self._data.refusal is None:
            self._data.keep(self._prepare)
            self._prepared = self._data.openings
        self._data.on_full = self._drop_losable

    def close(self) -> None:
        """Close a file of its own; twice is harmless."""
        if self._own:
            self._data.close()

    def batch(self) -> AbstractContextManager[None]:
        """All that is put or delivered inside goes to the disk at once, when this ends."""
        return self._data.transaction()

    def put(self, stream: Stream, body: bytes, at_ns: int) -> int:
        """Keep a record; it is on the disk when this returns, inside a `batch` when that ends.

        Returns:
            Its number in the stream.

        Raises:
            NotKeptError: when the disk did not take it; nothing was kept and no number used.
        """
        return self._data.keep(lambda: self._put(stream, body, at_ns))

    def lost(self, stream: Stream, count: int) -> None:
        """Count records that could not even be put as dropped.

        Raises:
            NotKeptError: when the disk did not take that.
        """
        said = "UPDATE stream SET dropped = dropped + ? WHERE stream = ?"
        self._data.keep(lambda: self._run(said, (count, stream.value)))

    def waiting(self, consumer: str, stream: Stream, limit: int, *, after: int = 0) -> list[Record]:
        """The oldest records that `consumer` has not got yet, in their order.

        Args:
            consumer: one of those named.
            stream: of these.
            limit: so many at most.
            after: only those with a higher number: the others are under way.

        Raises:
            NotKeptError: when the file cannot be read.
        """
        rows = self._data.rows(
            "SELECT n, at_ns, body FROM outbox WHERE stream = ? AND n > MAX(?, COALESCE("
            "(SELECT n FROM cursor WHERE consumer = ? AND stream = ?), 0)) ORDER BY n LIMIT ?",
            (stream.value, after, consumer, stream.value, limit),
        )
        return [Record(n, stream, at_ns, body) for n, at_ns, body in rows]

    def record(self, stream: Stream, n: int) -> Record | None:
        """One record; None when it is gone or was dropped.

        Raises:
            NotKeptError: when the file cannot be read.
        """
        rows = self._data.rows(
            "SELECT n, at_ns, body FROM outbox WHERE stream = ? AND n = ?", (stream.value, n)
        )
        return Record(rows[0][0], stream, rows[0][1], rows[0][2]) if rows else None

    def delivered(self, consumer: str, stream: Stream, n: int) -> None:
        """The peer of `consumer` acknowledged every record up to `n`; what all have got goes.

        Raises:
            NotKeptError: when that could not be written down: the records will come again.
        """

        def write() -> None:
            self._run(
                "UPDATE cursor SET n = MAX(n, ?) WHERE consumer = ? AND stream = ?",
                (n, consumer, stream.value),
            )
            done = "SELECT MIN(n) FROM cursor WHERE stream = ?"
            self._delete(stream, f"n <= ({done})", (stream.value,), dropped=False)

        self._data.keep(write)

    def figures(self, now_ns: int) -> Figures:
        """How it stands at `now_ns`, UTC.

        Raises:
            NotKeptError: when the file cannot be read.
        """
        if self._prepared < 0:
            raise self._data.refusal or NotKeptError("nobody knows yet what waits in the outbox")
        held, size, dropped = self._run(
            "SELECT SUM(held), SUM(bytes), SUM(dropped) FROM stream", ()
        )[0]
        if held is None:  # the file was closed and could not be opened again
            raise self._data.refusal or NotKeptError("nobody knows what waits in the outbox")
        first = "SELECT at_ns FROM outbox WHERE stream = ? ORDER BY n LIMIT 1"
        oldest = [row[0] for each in Stream for row in self._run(first, (each.value,))]
        age_s = max(0, now_ns - min(oldest)) / _SECOND if oldest else 0.0
        return Figures(held, age_s, dropped, size)

    def _prepare(self) -> None:
        for stream in Stream:
            self._run("INSERT OR IGNORE INTO stream VALUES (?, 0, 0, 0, 0)", (stream.value,))
        known = self._run("SELECT consumer, stream FROM cursor", ())
        streams = self._asked.items()
        wanted = {(name, each.value) for name, asked in streams for each in asked}
        for gone in sorted({*known} - wanted):
            waited = "SELECT COUNT(*) FROM outbox, cursor USING (stream) WHERE outbox.n > cursor.n"
            count = self._run(f"{waited} AND consumer = ? AND stream = ?", gone)[0][0]
            if count:
                _log.warning(
                    "%s is no longer configured: %d records of stream %s are not delivered to it",
                    gone[0],
                    count,
                    Stream(gone[1]).name,
                )
            self._run("DELETE FROM cursor WHERE consumer = ? AND stream = ?", gone)
        for new in wanted - {*known}:
            self._run(
                "INSERT INTO cursor SELECT ?, stream, last_n FROM stream WHERE stream = ?", new
            )
        for stream in Stream:
            keep = "SELECT COALESCE(MIN(n), 9223372036854775807) FROM cursor WHERE stream = ?"
            self._delete(stream, f"n <= ({keep})", (stream.value,), dropped=False)

    def _put(self, stream: Stream, body: bytes, at_ns: int) -> int:
        if self._prepared != self._data.openings:  # again with each: it may be undone with it
            self._prepare()
        self._run("UPDATE stream SET last_n = last_n + 1 WHERE stream = ?", (stream.value,))
        n = int(self._run("SELECT last_n FROM stream WHERE stream = ?", (stream.value,))[0][0])
        if not self._run("SELECT 1 FROM cursor WHERE stream = ? LIMIT 1", (stream.value,)):
            return n  # nobody waits for it
        self._run("INSERT INTO outbox VALUES (?, ?, ?, ?)", (stream.value, n, at_ns, body))
        self._run(
            "UPDATE stream SET bytes = bytes + ?, held = held + 1 WHERE stream = ?",
            (len(body), stream.value),
        )
        for losable in _LOSABLE:
            self._drop_old(losable, at_ns - self._max_age_ns)
        self._shrink()
        return n

    def _drop_old(self, stream: Stream, before_ns: int) -> None:
        first = "SELECT at_ns FROM outbox WHERE stream = ? ORDER BY n LIMIT 1"
        while (rows := self._run(first, (stream.value,))) and rows[0][0] < before_ns:
            self._drop_oldest(stream, 1)

    def _shrink(self) -> None:
        for losable in _LOSABLE:
            while self._run("SELECT SUM(bytes) FROM stream", ())[0][0] > self._max_bytes:
                if not self._drop_oldest(losable, 1):
                    break

    def _drop_losable(self) -> None:
        """The disk is full: give up masks, then telemetry, a few at a time."""
        for losable in _LOSABLE:
            with self._data.transaction():
                if self._drop_oldest(losable, _DROP_AT_ONCE):
                    return

    def _drop_oldest(self, stream: Stream, count: int) -> int:
        oldest = "SELECT n FROM outbox WHERE stream = ? ORDER BY n LIMIT ?"
        return self._delete(stream, f"n IN ({oldest})", (stream.value, count), dropped=True)

    def _delete(self, stream: Stream, where: str, values: Sequence[Any], *, dropped: bool) -> int:
        """Delete records of a stream and keep its sums true; how many went."""
        selected = f"FROM outbox WHERE stream = ? AND {where}"
        all_values = (stream.value, *values)
        count, size = self._run(
            f"SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) {selected}",
            all_values,
        )[0]
        if count:
            self._run(f"DELETE {selected}", all_values)
            self._run(
                "UPDATE stream SET held = held - ?, bytes = bytes - ?, dropped = dropped + ? "
                "WHERE stream = ?",
                (count, size, count if dropped else 0, stream.value),
            )
        return int(count)

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._data.rows(statement, values)
