"""Carries the history of slots into the audit journal, and a model that went back into an alarm.

The history is on the disk before anything comes of it, so no event is lost, whoever was running
then: what the journal does not have yet is written down when the plant process next looks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contract.audit import Category, Entry
from contract.errors import GasedgeError, NotKeptError
from edge_runtime.slots.state import Condition
from edge_runtime.slots.store import SLOTS, SlotStore

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.alarms.desk import Desk
    from edge_runtime.slots.state import Event, Slots

__all__ = ["SlotAudit"]

_log = logging.getLogger(__name__)

_FACT = "slots"  # number and time of the last event that the journal has
_REASON = "model"
_LOOK_S = 1.0


class SlotAudit:
    """Follows `slots.json`.

    Args:
        desk: keeps the journal.
        folder: of the slots.
    """

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._desk, self._folder = desk, folder
        self._seen: tuple[int, int] | None = None
        self._looked_s = float("-inf")

    def look(self, now_s: float) -> None:
        """Write down what is new, looking once a second; what is not kept is tried again then.

        Args:
            now_s: monotonic.
        """
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        try:
            found = (self._folder / SLOTS).stat()
        except FileNotFoundError:
            return
        except OSError as error:
            self._seen = None
            self._desk.maintain(_REASON, f"{self._folder}: cannot be read ({error.strerror})")
            return
        now = found.st_mtime_ns, found.st_ino
        if now == self._seen:
            return
        try:
            slots = SlotStore(self._folder).read()
            self._desk.maintain(_REASON, _failure(slots))
            if self._told(slots):
                self._seen = now
        except NotKeptError as error:  # it may be read the next time
            self._desk.maintain(_REASON, str(error))
        except GasedgeError as error:
            self._seen = now
            self._desk.maintain(_REASON, str(error))

    def _told(self, slots: Slots) -> bool:
        journal = self._desk.journal
        try:
            number, _, at = journal.fact(_FACT).partition(" ")
        except NotKeptError:
            return False
        told = int(number or 0)
        known = next((event for event in slots.history if event.n == told), None)
        begun_anew = bool(slots.history) and slots.history[-1].n < told
        if begun_anew or (known is not None and known.at != at):
            told = 0  # another folder of slots than the one that the journal knows
        for event in slots.history:
            if event.n <= told:
                continue
            if not self._desk.audit(_entry(event)):
                return False
            try:
                journal.remember(_FACT, f"{event.n} {event.at}")
            except NotKeptError:  # then it is told once more
                return False
        return True


def _entry(event: Event) -> Entry:
    refused, why = event.what in ("refused", "failed"), f": {event.reason}"
    return Entry(
        Category.CONFIGURATION,
        f"model {event.slot}".strip(),
        who=event.who,
        origin="gasedge apply on this machine" if event.who else "",
        old=event.old,
        new=event.new,
        result=event.reason if refused else "done",
        comment=f"{event.what} at {event.at}" + ("" if refused or not event.reason else why),
    )


def _failure(slots: Slots) -> str | None:
    """What somebody should know until another model is applied."""
    failed = slots.slots.get(slots.idle)
    if failed is None or failed.condition is not Condition.FAILED:
        return None
    return f"model {failed} went back: {failed.reason}"
