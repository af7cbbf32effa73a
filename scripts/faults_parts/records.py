"""What was lost: journal, events and what a client saw are held against each other."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from contract.errors import InputError
from edge_runtime.alarms.read_journal import read_records

if TYPE_CHECKING:
    from pathlib import Path

    from contract.audit import AuditRecord
    from tests.plant.mqtt_brokers import Listener

    from .watch import StateWatch

__all__ = ["Records", "losses"]

_PATIENCE_S = 20.0  # for what waits to be sent and written
_ALARMS = {(1, 0): "camera0.leak", (1, 1): "camera0.failure"}
_ALARMS |= {(2, 0): "camera1.leak", (2, 1): "camera1.failure"}


class Records:
    """What is kept, what arrived and what was seen of one daemon.

    Args:
        state: its `[plant] state_dir`.
        events: the subscriber that hears all its events.
        watch: the Modbus client that saw its alarms.
    """

    def __init__(self, state: Path, events: Listener, watch: StateWatch) -> None:
        self._state, self._events, self._watch = state, events, watch
        self.whole_s = 0.0  # when nothing was missing any more, monotonic

    def lost(self) -> list[str]:
        """What is missing, once nothing more comes; [] when nothing is."""
        until_s = time.monotonic() + _PATIENCE_S
        while (found := self._missing()) and time.monotonic() < until_s:
            time.sleep(0.2)
        self.whole_s = time.monotonic()
        return found + self._chain()

    def counts(self) -> tuple[int, int]:
        """Audit records, and events that arrived."""
        return sum(1 for _ in read_records(self._state)), len(self._arrived())

    def tell_a_break(self) -> bool:
        """Whether the journal itself says that it was broken."""
        with contextlib.suppress(InputError):
            told = ("journal", "broken")
            return any((each.subject, each.result) == told for each in read_records(self._state))
        return False

    def _missing(self) -> list[str]:
        try:
            records = list(read_records(self._state))
        except InputError as error:
            return [str(error)]
        return losses(records, self._arrived(), dict(self._watch.raised))

    def _arrived(self) -> dict[tuple[str, int], str]:
        found = {}
        for got in tuple(self._events.got):
            if got.topic.endswith("/event"):
                event = json.loads(got.payload)
                found[event["series"], event["n"]] = str(event.get("alarm", ""))
        return found

    def _chain(self) -> list[str]:
        """As somebody would check it: by the command."""
        words = [sys.executable, "-m", "gasedge", "audit", "verify", str(self._state), "--json"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return []
        if not done.stdout:
            return [done.stderr.strip()]
        return [f"journal: {json.loads(done.stdout)['fault']}"]


def losses(
    records: list[AuditRecord],
    events: dict[tuple[str, int], str],
    raised: dict[tuple[int, int], int],
) -> list[str]:
    """What one of the three knows and another does not.

    Args:
        records: the audit journal.
        events: alarm of each event that arrived, by series and number.
        raised: how often a client saw each alarm begin, by unit and alarm.
    """
    found = []
    for series in {series for series, _ in events}:
        numbers = {n for each, n in events if each == series}
        gaps = set(range(min(numbers), max(numbers) + 1)) - numbers
        if gaps:
            found.append(f"{len(gaps)} events never arrived, the first {min(gaps)}")
    kept = Counter(r.subject for r in records if r.category == "alarm")
    arrived = Counter(alarm for alarm in events.values() if alarm)
    missing = kept - arrived
    if missing:
        found.append(f"{missing.total()} changes in the journal without an event: {dict(missing)}")
    unkept = arrived - kept
    if unkept:
        found.append(f"{unkept.total()} events that the journal does not hold: {dict(unkept)}")
    begun = Counter(
        r.subject for r in records if r.category == "alarm" and "active" in r.new
        and "active" not in r.old
    )  # fmt: skip
    for key, count in raised.items():
        name = _ALARMS[key]
        if count > begun[name]:
            found.append(f"{name} was seen to begin {count} times, the journal has {begun[name]}")
    return found
