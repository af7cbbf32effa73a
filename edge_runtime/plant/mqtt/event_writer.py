"""Writes an event into the outbox with every change of an alarm: both are kept, or neither is."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from contract.alarms import AlarmKind
from edge_runtime.outbox import Stream
from edge_runtime.plant.mqtt.event_body import TOLD, alarm_event, change_of, evidence_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contract.alarms import Alarm
    from contract.tags import CameraSnapshot
    from edge_runtime.alarms.machine import Now
    from edge_runtime.outbox import Outbox

__all__ = ["EventWriter"]

_REMEMBERED = 1000  # changes that a disk refused, with the values of their moment
_WITH_MASK = 100  # of them
_LARGEST_MASK = 500_000  # bytes; a broker that takes a megabyte takes it in base64


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was true when an alarm changed."""

    kind: str
    snapshot: CameraSnapshot | None
    now: Now


class EventWriter:
    """Of the alarm desk's thread only.

    Args:
        outbox: where events are kept.
        origin: what every event says of where it comes from: site, box, series, config_hash. Asked
            inside the transaction that keeps an event; it may raise NotKeptError.
        look: how a camera is now; None where there is no such camera.
        clock: what time it is.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        origin: Callable[[], Mapping[str, str]],
        look: Callable[[str], CameraSnapshot | None],
        clock: Callable[[], Now],
    ) -> None:
        self._outbox = outbox
        self._common = origin
        self._look, self._clock = look, clock
        self._alarms: dict[str, Alarm] = {}
        self._seen: OrderedDict[Alarm, _Seen] = OrderedDict()  # until they are written down

    def know(self, alarm: Alarm) -> None:
        """How an alarm stands at the start: what comes is compared with it."""
        self._alarms[alarm.id] = alarm

    def told(self, alarm: Alarm) -> None:
        """An alarm changed: remember this moment's values, should writing take several tries."""
        self._seen[alarm] = self._see(alarm)
        self._alarms[alarm.id] = alarm
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def write(self, alarm: Alarm) -> None:
        """Put the event of a change; inside the transaction that keeps the change.

        Raises:
            NotKeptError: when the disk does not take it.
        """
        # what a person asked is written first and told then
        seen = self._seen.get(alarm) or self._see(alarm)
        mask = mask_n = None
        if alarm.kind is AlarmKind.LEAK and seen.snapshot is not None:
            mask = seen.snapshot.value("Mask/Data")
        if isinstance(mask, bytes) and mask and len(mask) <= _LARGEST_MASK:
            mask_n = self._outbox.put(Stream.MASK, mask, alarm.changed_ns)
        body = alarm_event(
            seen.kind, alarm, seen.snapshot, origin=self._origin(seen.now), mask_n=mask_n
        )
        self._outbox.put(Stream.EVENT, body, alarm.changed_ns)

    def kept(self) -> None:
        """All that was told so far is on the disk: its moments are needed no more."""
        self._seen.clear()

    def evidence(self, camera: str, event_id: str, sha256: str) -> None:
        """Tell which evidence was kept of an event.

        Raises:
            NotKeptError: when the disk does not take it.
        """
        now = self._clock()
        body = evidence_event(camera, event_id, sha256, now.utc_ns, origin=self._origin(now))
        self._outbox.put(Stream.EVENT, body, now.utc_ns)

    def _see(self, alarm: Alarm) -> _Seen:
        kind = change_of(self._alarms.get(alarm.id), alarm)
        snapshot = self._look(alarm.camera)
        if snapshot is not None:  # many may wait for a disk: only what an event tells
            told = {name: value for name, value in snapshot.values.items() if name in TOLD}
            if len(self._seen) >= _WITH_MASK:
                told.pop("Mask/Data", None)
            snapshot = replace(snapshot, values=told)
        return _Seen(kind, snapshot, self._clock())

    def _origin(self, now: Now) -> dict[str, Any]:
        return {**self._common(), "boot_id": now.boot_id, "clock_ok": now.clock_ok}
