"""What can still be read of a broken file of the plant's state, row by row from both ends."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["salvage"]

_log = logging.getLogger(__name__)

_TABLES = {  # columns of each, and what puts its rows in order
    "fact": ("name, value", "name"),
    "alarm": ("id, memory", "id"),
    "audit": ("n, record", "n"),
    "stream": ("stream, last_n, bytes, held, dropped", "stream"),
    "cursor": ("consumer, stream, n", "consumer"),
    "outbox": ("stream, n, at_ns, body", "rowid"),
}


def salvage(broken: Path, into: sqlite3.Connection) -> str:
    """Copy every row that can be read.

    Args:
        broken: the file; its log is taken in.
        into: a new file with the same tables, empty, in a transaction.

    Returns:
        How many rows of each table were found, in words.

    Raises:
        sqlite3.Error: when the new file does not take them.
    """
    counts = []
    with contextlib.closing(sqlite3.connect(broken)) as found:
        found.text_factory = _text
        for table, (columns, order) in _TABLES.items():
            count = 0
            for direction in ("ASC", "DESC"):
                query = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {order} {direction}"  # noqa: S608 - our own words
                got, whole = _copy(found, query, table, into)
                count += got
                if whole:
                    break
            counts.append(f"{count} of {table}")
    # what was lost is no longer held, and its numbers are not given again
    into.execute(
        "UPDATE stream SET "
        "held = (SELECT COUNT(*) FROM outbox WHERE outbox.stream = stream.stream), "
        "bytes = (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM outbox "
        "WHERE outbox.stream = stream.stream), "
        "last_n = MAX(last_n, (SELECT COALESCE(MAX(n), 0) FROM outbox "
        "WHERE outbox.stream = stream.stream))"
    )
    said = "rows that could be read: " + ", ".join(counts)
    _log.warning("%s: %s", broken.name, said)
    return said


def _copy(
    found: sqlite3.Connection, query: str, table: str, into: sqlite3.Connection
) -> tuple[int, bool]:
    """Copy rows until one cannot be read; how many were new, and whether all were read."""
    count = 0
    for row in _readable(found, query):
        if row is None:
            return count, False
        places = ", ".join("?" * len(row))
        done = into.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)  # noqa: S608 - our own words
        count += done.rowcount
    return count, True


def _readable(found: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...] | None]:
    """The rows; None, and no more, at one that cannot be read."""
    try:
        rows = found.execute(query)
        while (row := rows.fetchone()) is not None:
            yield row
    except sqlite3.DatabaseError:
        yield None


def _text(octets: bytes) -> str:
    """A damaged text is kept, too: whoever reads it will see what is wrong."""
    return octets.decode(errors="replace")
