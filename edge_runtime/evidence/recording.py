"""Which leaks are recorded from when to when, and what came in between, put aside on disk."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from contract.alarms import AlarmKind
from edge_runtime.evidence.preroll import Moment, Preroll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contract.alarms import Alarm

__all__ = ["Recording", "Recordings"]

_LONGEST_S = 300.0  # however many leaks follow each other
_MOST_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a moment lies in the spool."""

    moment: Moment  # without its blob
    begin: int
    length: int


class Recording:
    """One camera's moments around one or several leaks; the caller closes the spool.

    Args:
        camera: its name.
        began_s: monotonic.
        until_s: monotonic; later leaks extend it.
        new_spool: makes a file of its own, where blobs wait so that memory does not hold them.
    """

    def __init__(
        self, camera: str, began_s: float, until_s: float, new_spool: Callable[[], BinaryIO]
    ) -> None:
        self.camera = camera
        self.alarms: list[Alarm] = []  # as they were when each began
        self.changes: list[Alarm] = []  # of any of them, in their order
        self.until_s = until_s
        self._began_s = began_s
        self._new_spool = new_spool
        self._spool: BinaryIO | None = None  # until there is something to put aside
        self._places: list[_Place] = []

    @property
    def event_ids(self) -> list[str]:
        """Of the leaks, the first one first."""
        return [each.event_id for each in self.alarms]

    def reaches(self, until_s: float) -> bool:
        """Whether it may go on until then."""
        return until_s <= self._began_s + _LONGEST_S

    def extend(self, until_s: float) -> None:
        """Go on until then."""
        self.until_s = max(self.until_s, until_s)

    def add(self, moment: Moment) -> None:
        """Put a moment aside.

        Raises:
            OSError: when the disk does not take it.
        """
        if self._spool is None:
            self._spool = self._new_spool()
        begin = self._spool.tell()
        if self._spool.write(moment.blob) != len(moment.blob):  # the disk took a part of it
            raise OSError(errno.ENOSPC, "No space left on device")
        bare = Moment(moment.at_s, moment.captured_ns, moment.view, b"", moment.values)
        self._places.append(_Place(bare, begin, len(moment.blob)))

    def changed(self, alarm: Alarm) -> None:
        """Note how one of its alarms changed."""
        if alarm.event_id in self.event_ids and len(self.changes) < _MOST_CHANGES:
            self.changes.append(alarm)

    def span_ns(self) -> tuple[int, int]:
        """Capture times of the first and last moment, UTC; zeros without any."""
        times = [each.moment.captured_ns for each in self._places if each.moment.captured_ns]
        return (min(times), max(times)) if times else (0, 0)

    def last_values(self) -> dict[str, object]:
        """The newest values, empty without any."""
        for each in reversed(self._places):
            if each.moment.values is not None:
                return each.moment.values
        return {}

    def pictures(self, view: str) -> Iterator[tuple[int, bytes]]:
        """Capture time and JPEG of each picture of a view, oldest first."""
        for each in self._places:
            if each.moment.view == view:
                yield each.moment.captured_ns, self._blob(each)

    def masks(self) -> Iterator[bytes]:
        """Each mask once, GEM1 encoded, oldest first."""
        last = b""
        for each in self._places:
            if each.moment.view is None and each.length and (blob := self._blob(each)) != last:
                last = blob
                yield blob

    def values(self) -> Iterator[str]:
        """One line of JSON for the values at each moment, oldest first."""
        for each in self._places:
            if each.moment.values is not None:
                line = {"captured_ns": each.moment.captured_ns, **each.moment.values}
                yield json.dumps(line, separators=(",", ":"))

    def close(self) -> None:
        """Give the spool back; twice is harmless."""
        if self._spool is not None:
            self._spool.close()

    def _blob(self, place: _Place) -> bytes:
        if self._spool is None:
            return b""
        self._spool.seek(place.begin)
        data = self._spool.read(place.length)
        self._spool.seek(0, 2)
        return data


class Recordings:
    """Turns moments and alarms into recordings; pure but for the spools that it is given.

    Args:
        cameras: their names.
        pre_s: how much before a leak is kept.
        post_s: and how much after its begin.
        memory_bytes: of all moments before leaks together.
        new_spool: makes an empty file for a recording.
        known: event ids that have evidence already.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        *,
        pre_s: float,
        post_s: float,
        memory_bytes: int,
        new_spool: Callable[[], BinaryIO],
        known: set[str],
    ) -> None:
        self._post_s = post_s
        self._new_spool = new_spool
        self._known = known
        self._prerolls = {name: Preroll(pre_s, memory_bytes // len(cameras)) for name in cameras}
        self._running: dict[str, Recording] = {}
        self._over: list[Recording] = []  # as long as one may be

    def saw(self, camera: str, moment: Moment) -> None:
        """Take in a moment of a configured camera."""
        running = self._running.get(camera)
        if running is not None:
            running.add(moment)
        else:
            self._prerolls[camera].add(moment)

    def heard(self, alarm: Alarm, now_s: float) -> None:
        """Take in an alarm; a leak that has no evidence yet begins or extends a recording.

        Raises:
            OSError: when the disk does not take what came before; the recording runs all the same,
                so that `give_up` knows whose evidence is lost.
        """
        running = self._running.get(alarm.camera)
        if alarm.kind is not AlarmKind.LEAK or alarm.camera not in self._prerolls:
            return
        if not alarm.active or not alarm.event_id or alarm.event_id in self._known:
            if running is not None:
                running.changed(alarm)
            return
        until_s = now_s + self._post_s
        if running is not None and not running.reaches(until_s):
            self._over.append(self._running.pop(alarm.camera))
            running = None
        before = self._prerolls[alarm.camera].take() if running is None else ()
        if running is None:
            running = Recording(alarm.camera, now_s, until_s, self._new_spool)
            self._running[alarm.camera] = running
        self._known.add(alarm.event_id)
        running.alarms.append(alarm)
        running.changed(alarm)
        running.extend(until_s)
        for moment in before:
            running.add(moment)

    def finished(self, now_s: float) -> list[Recording]:
        """Recordings that ended by now; they are the caller's from here on."""
        done = [each for each in self._running.values() if now_s >= each.until_s]
        for each in done:
            del self._running[each.camera]
        over, self._over = self._over, []
        return [*over, *done]

    def give_up(self, camera: str) -> Recording | None:
        """Take back a recording whose spool the disk refuses."""
        given_up = self._running.pop(camera, None)
        if given_up is not None:  # a leak that stands is recorded once the disk takes it
            self._known.difference_update(given_up.event_ids)
        return given_up

    def all_running(self) -> list[Recording]:
        """End all recordings, because the process ends."""
        over, self._over = self._over, []
        return [*over, *(self._running.pop(name) for name in tuple(self._running))]
