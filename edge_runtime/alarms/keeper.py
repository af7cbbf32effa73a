"""Writes changes of alarms down, each with its audit record and event, late where it must be."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.audit import Category, Entry
from contract.errors import NotKeptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.alarms import Alarm
    from edge_runtime.alarms.journal import Journal
    from edge_runtime.alarms.machine import Memory, Now
    from edge_runtime.alarms.memories import Memories
    from edge_runtime.database import Database

__all__ = ["Change", "Keeper", "Noted"]

_log = logging.getLogger(__name__)

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an alarm."""

    alarm: Alarm
    memory: Memory
    entry: Entry | None  # None where only the text is another one
    now: Now  # when it came about


@dataclass(frozen=True, slots=True)
class Noted:
    """A record of the audit journal that belongs to no change."""

    entry: Entry
    now: Now  # when it was to be written down


class Keeper:
    """What waits to be written down.

    Args:
        database: where it goes.
        memories: the alarms' part of it.
        journal: the audit's part of it.
    """

    def __init__(self, database: Database, memories: Memories, journal: Journal) -> None:
        self._data, self._memories, self._journal = database, memories, journal
        self._waiting: deque[Change | Noted] = deque(maxlen=_MOST)
        self._lost = 0
        # of each `AlarmDesk.keep_with`: what writes, and what is told that it is kept
        self.writers: list[tuple[Callable[[Alarm], None], Callable[[], None]]] = []

    def add(self, what: Change | Noted) -> None:
        """Let this wait; when too many do, the oldest is lost and counted."""
        self._lost += len(self._waiting) == _MOST
        self._waiting.append(what)

    def keep(self, now: Now, also: Change | None = None) -> None:
        """Write down all that waits, and one change more, in one transaction.

        Raises:
            NotKeptError: when the disk did not take it; what waits goes on waiting, the other
                change does not.
        """
        changes = [*self._waiting, *([] if also is None else [also])]
        if not changes:
            return
        self._data.keep(lambda: self._write(changes, now))
        self._waiting.clear()
        self._lost = 0
        for _, kept in tuple(self.writers):
            kept()

    def _write(self, changes: list[Change | Noted], now: Now) -> None:
        if self._lost:
            said = f"{self._lost} changes of alarms and other records before this were not kept"
            entry = Entry(Category.SYSTEM, "journal", result="lost", comment=said)
            self._journal.append(entry, now)
        for change in changes:
            if isinstance(change, Noted):
                self._journal.append(change.entry, change.now)
                continue
            if self._data.remembers:  # or else it would undo what nobody here knows
                self._memories.write(change.alarm.id, change.memory)
            if change.entry is None:
                continue
            self._journal.append(change.entry, change.now)
            for write, _ in tuple(self.writers):
                try:
                    write(change.alarm)
                except NotKeptError:
                    raise
                except Exception:  # noqa: BLE001 - its fault must not keep the alarm from the disk
                    _log.exception("what should be kept with alarm %s was not", change.alarm.id)
