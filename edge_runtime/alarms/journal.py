"""The audit journal on disk: appended to, read, and delivered to whoever keeps a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.audit import GENESIS, AuditRecord, chained, record_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.audit import Entry
    from edge_runtime.alarms.machine import Now
    from edge_runtime.database import Database

__all__ = ["Journal"]

_IN_MEMORY = 10_000  # records, where there is no disk
_LONGEST = 500
_PIECE = 500  # records that are read at a time


class Journal:
    """The records of a database.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._data = database

    def append(self, entry: Entry, now: Now) -> AuditRecord:
        """Write down `entry` as the next record of the chain.

        Raises:
            NotKeptError: when the disk did not take it.
        """

        def write() -> AuditRecord:
            last = self._data.rows("SELECT record FROM audit ORDER BY n DESC LIMIT 1")
            before = record_from_json(last[0][0]) if last else None
            record = chained(
                AuditRecord(
                    n=before.n + 1 if before else 1,
                    at_ns=now.utc_ns,
                    clock_ok=now.clock_ok,
                    boot_id=now.boot_id,
                    category=entry.category.value,
                    subject=_plain(entry.subject),
                    who=_plain(entry.who),
                    role=_plain(entry.role),
                    origin=_plain(entry.origin),
                    old=_plain(entry.old),
                    new=_plain(entry.new),
                    result=_plain(entry.result),
                    comment=_plain(entry.comment),
                    previous=before.hash if before else GENESIS,
                )
            )
            self._data.rows("INSERT INTO audit VALUES (?, ?)", (record.n, record.to_json()))
            if self._data.path is None:
                self._data.rows("DELETE FROM audit WHERE n <= ?", (record.n - _IN_MEMORY,))
            return record

        return self._data.keep(write)

    def after(self, n: int, limit: int) -> list[AuditRecord]:
        """Up to `limit` records that follow record `n`.

        Raises:
            NotKeptError: when the file cannot be read.
            InputError: when a record was damaged.
        """
        rows = self._data.rows(
            "SELECT record FROM audit WHERE n > ? ORDER BY n LIMIT ?", (n, limit)
        )
        return [record_from_json(text) for (text,) in rows]

    def all(self) -> Iterator[AuditRecord]:
        """Every record from the first on, read in pieces."""
        n = 0
        while piece := self.after(n, _PIECE):
            yield from piece
            n = piece[-1].n

    def delivered_to(self, consumer: str) -> int:
        """Number of the last record that `consumer` has for certain; 0 before the first."""
        return int(self.fact(f"audit {consumer}") or 0)

    def delivered(self, consumer: str, n: int) -> None:
        """Remember that `consumer` has every record up to `n`.

        Raises:
            NotKeptError: when the disk did not take it.
        """
        self.remember(f"audit {consumer}", str(n))

    def fact(self, name: str) -> str:
        """What was remembered under a name, "" without it."""
        rows = self._data.rows("SELECT value FROM fact WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def remember(self, name: str, value: str) -> None:
        """Remember a fact beside the records.

        Raises:
            NotKeptError: when the disk did not take it.
        """
        statement = "INSERT OR REPLACE INTO fact VALUES (?, ?)"
        self._data.keep(lambda: self._data.rows(statement, (name, value)))


def _plain(text: str) -> str:
    """A text that fits into one line, whoever gave it."""
    return "".join(each if each.isprintable() else " " for each in text[:_LONGEST])
