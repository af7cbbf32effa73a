"""What a host did not get, or may not have got: kept on disk, replayed as historical values.

Sparkplug's data is not acknowledged. What was sent just before a line broke may be lost, so the
last seconds are kept and replayed as well: a historian takes the same value of the same time twice
without harm. They are kept in memory, lest a card be written to death: `kill -9` in the very
seconds in which a line is dead and nobody knows yet loses them, but no alarm, which is an event.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from contract.errors import InputError, NotKeptError
from edge_runtime.outbox import Stream
from edge_runtime.plant.sparkplug.wire import Payload, decode_payload, encode_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_runtime.outbox import Outbox
    from edge_runtime.plant.sparkplug.wire import Metric

__all__ = ["CONSUMER", "History"]

_log = logging.getLogger(__name__)

CONSUMER = "sparkplug"
_WRITE_S = 2.0  # what was missed is written in batches of so many seconds
_BATCH = 500  # metrics of one record, and of one message
_HELD = 4 << 20  # bytes of what the disk does not take for now


class History:
    """Times are seconds of the monotonic clock unless they say otherwise.

    Args:
        outbox: where it is kept; None where there is no disk for it.
        window_s: how long it can take until a broken line is known as such.
        per_s: records replayed a second.
    """

    def __init__(self, outbox: Outbox | None, *, window_s: float, per_s: float = 20.0) -> None:
        self._outbox = outbox
        self._window_s = window_s
        self._gap_s = 1 / per_s
        self._recent: deque[tuple[float, str, tuple[Metric, ...]]] = deque()
        self._missed: list[tuple[str, tuple[Metric, ...]]] = []
        self._unwritten: deque[tuple[int, bytes]] = deque()  # records: time in ns UTC, body
        self._lost = 0  # records, not yet counted on the disk
        self._written_s = 0.0
        self._replayed: deque[tuple[float, int]] = deque()  # and not yet surely arrived
        self._next_s = 0.0
        self._is_full = False

    def sent(self, device: str, metrics: Sequence[Metric], now_s: float) -> None:
        """Remember what was just sent; `device` is "" for the node itself."""
        self._recent.append((now_s, device, _kept(metrics)))
        while now_s - self._recent[0][0] > self._window_s:
            self._recent.popleft()

    def missed(self, device: str, metrics: Sequence[Metric]) -> None:
        """Keep what could not be sent."""
        self._missed.append((device, _kept(metrics)))

    def lost(self, count: int) -> None:
        """Count what nobody could even look at as dropped."""
        self._lost += count

    def broke_off(self) -> None:
        """The line is gone: what was sent last comes again when there is another."""
        self._missed[:0] = [(device, metrics) for _, device, metrics in self._recent]
        self._recent.clear()
        self._replayed.clear()

    def turn(self, now_s: float, now_ns: int, *, at_once: bool = False) -> None:
        """Write down what was missed, and forget what surely arrived.

        Args:
            now_s: monotonic.
            now_ns: UTC.
            at_once: write what there is, as before the process ends.
        """
        due = at_once or now_s - self._written_s >= _WRITE_S
        if due and (self._missed or self._unwritten or self._lost):
            self._written_s = now_s
            self._write(now_ns)
        arrived = None
        while self._replayed and now_s - self._replayed[0][0] > self._window_s:
            arrived = self._replayed.popleft()[1]
        outbox = self._outbox
        if arrived is not None and outbox is not None:
            self._try(lambda: outbox.delivered(CONSUMER, Stream.TELEMETRY, arrived))

    def due(self, now_s: float) -> tuple[str, tuple[Metric, ...]] | None:
        """The next record to replay, when one is due; the values are marked as historical."""
        if now_s < self._next_s or self._outbox is None:
            return None
        self._next_s = now_s + self._gap_s
        last = self._replayed[-1][1] if self._replayed else 0
        try:
            waiting = self._outbox.waiting(CONSUMER, Stream.TELEMETRY, 1, after=last)
        except NotKeptError as error:
            _log.debug("history cannot be read: %s", error)
            return None
        if not waiting:
            self._next_s = now_s + 1.0
            return None
        (record,) = waiting
        self._replayed.append((now_s, record.n))
        device, _, body = record.body.partition(b"\n")
        try:
            return device.decode(), decode_payload(body).metrics
        except (InputError, UnicodeDecodeError) as error:
            _log.warning("a record of history is damaged and passed over: %s", error)
            return None

    def _write(self, now_ns: int) -> None:
        by_device: dict[str, list[Metric]] = {}
        for device, metrics in self._missed:
            by_device.setdefault(device, []).extend(metrics)
        self._missed.clear()
        outbox = self._outbox
        if outbox is None:
            return
        for device, found in by_device.items():
            for first in range(0, len(found), _BATCH):
                payload = Payload(None, tuple(found[first : first + _BATCH]))
                body = device.encode() + b"\n" + encode_payload(payload)
                self._unwritten.append((now_ns, body))

        def write() -> None:
            with outbox.batch():
                for at_ns, body in self._unwritten:
                    outbox.put(Stream.TELEMETRY, body, at_ns)
                if self._lost:
                    outbox.lost(Stream.TELEMETRY, self._lost)

        if self._try(write):
            self._unwritten.clear()
            self._lost = 0
        size = sum(len(body) for _, body in self._unwritten)
        while size > _HELD:
            size -= len(self._unwritten.popleft()[1])
            self._lost += 1

    def _try(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except NotKeptError as error:
            if not self._is_full:
                _log.warning("history waits in memory: %s", error)
            self._is_full = True
        else:
            self._is_full = False
        return not self._is_full


def _kept(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    return tuple(each for each in metrics if not each.transient)
