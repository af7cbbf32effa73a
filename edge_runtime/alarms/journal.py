"""The audit journal on disk: appended to, read, and delivered to whoever keeps a copy."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from contract.audit import GENESIS, AuditRecord, chained, record_from_json
from contract.errors import InputError
from contract.plain_text import one_line

if TYPE_CHECKING:
    from contract.audit import Entry
    from edge_runtime.alarms.machine import Now
    from edge_runtime.database import Database

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

_IN_MEMORY = 10_000  # records, where there is no disk


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
            last_n, previous = self._last()
            record = chained(
                AuditRecord(
                    n=last_n + 1,
                    at_ns=now.utc_ns,
                    clock_ok=now.clock_ok,
                    boot_id=now.boot_id,
                    category=entry.category.value,
                    subject=one_line(entry.subject),
                    who=one_line(entry.who),
                    role=one_line(entry.role),
                    origin=one_line(entry.origin),
                    old=one_line(entry.old),
                    new=one_line(entry.new),
                    result=one_line(entry.result),
                    comment=one_line(entry.comment),
                    previous=previous,
                )
            )
            self._data.rows("INSERT INTO audit VALUES (?, ?)", (record.n, record.to_json()))
            if self._data.path is None:
                self._data.rows("DELETE FROM audit WHERE n <= ?", (record.n - _IN_MEMORY,))
            return record

        return self._data.keep(write)

    def _last(self) -> tuple[int, str]:
        """Number and hash of the newest record; of a damaged one, the hash of what is there.

        A damaged record must not keep alarms from being written down: `verify` names it.
        """
        rows = self._data.rows("SELECT n, CAST(record AS BLOB) FROM audit ORDER BY n DESC LIMIT 1")
        if not rows:
            return 0, GENESIS
        n, octets = rows[0]
        record = _understood(octets)
        return n, record.hash if record else hashlib.sha256(octets).hexdigest()

    def after(self, n: int, limit: int) -> tuple[int, list[AuditRecord]]:
        """Up to `limit` records that follow record `n`.

        Returns:
            The number of the last one looked at, `n` when none follows, and those of them that
            are not damaged.

        Raises:
            NotKeptError: when the file cannot be read.
        """
        rows = self._data.rows(
            "SELECT n, CAST(record AS BLOB) FROM audit WHERE n > ? ORDER BY n LIMIT ?", (n, limit)
        )
        records = [_understood(octets) for _, octets in rows]
        return (rows[-1][0] if rows else n), [each for each in records if each is not None]

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


def _understood(octets: bytes) -> AuditRecord | None:
    try:
        return record_from_json(octets.decode())
    except (InputError, UnicodeDecodeError) as error:
        _log.error("a record of the audit journal is damaged: %s", error)
        return None
