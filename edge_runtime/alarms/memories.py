"""What each alarm must remember, on disk."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from edge_runtime.alarms.machine import Memory, Shelving

if TYPE_CHECKING:
    from edge_runtime.database import Database

__all__ = ["Memories"]

_log = logging.getLogger(__name__)

_FIELDS = {each.name for each in fields(Memory)}


class Memories:
    """The memories of a database.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._data = database

    def read(self) -> tuple[dict[str, Memory], list[str]]:
        """All of them by the alarm's id, and the ids of those that cannot be understood.

        Raises:
            NotKeptError: when the file cannot be read.
        """
        found, damaged = {}, []
        for id_, text in self._data.rows("SELECT id, memory FROM alarm ORDER BY id"):
            try:
                values = {k: v for k, v in json.loads(text).items() if k in _FIELDS}
                if values.get("shelving"):
                    values["shelving"] = Shelving(**values["shelving"])
                found[id_] = Memory(**values)
            except (AttributeError, TypeError, ValueError) as error:
                _log.error("what was kept of alarm %s cannot be understood: %r", id_, error)
                damaged.append(str(id_))
        return found, damaged

    def write(self, id_: str, memory: Memory) -> None:
        """Keep one, inside a transaction."""
        text = json.dumps(asdict(memory), separators=(",", ":"))
        self._data.rows("INSERT OR REPLACE INTO alarm VALUES (?, ?)", (id_, text))

    def forget(self, id_: str) -> None:
        """Keep one no longer, inside a transaction."""
        self._data.rows("DELETE FROM alarm WHERE id = ?", (id_,))
