"""What can still be read of a broken file of the plant's state, row by row from both ends."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        broken: the file that was put aside; it stays as it is, its log is taken in.
        into: a new file with the same tables, empty.

    Returns:
        How many rows of each table were found, in words.
    """
    counts = []
    with contextlib.closing(sqlite3.connect(broken)) as found:
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
    try:
        for row in found.execute(query):
            places = ", ".join("?" * len(row))
            done = into.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)  # noqa: S608 - our own words
            count += done.rowcount
    except sqlite3.DatabaseError:
        return count, False
    return count, True
