"""Delivers what waits in the outbox: in order, so many at a time, gone only once acknowledged."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from contract.errors import NotKeptError
from edge_runtime.outbox import Stream
from edge_runtime.plant.mqtt.event_body import mask_number, published_event
from edge_runtime.plant.mqtt.speaking import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.outbox import Outbox, Record
    from edge_runtime.plant.mqtt.config import EventsConfig
    from edge_runtime.plant.mqtt.speaking import Line

__all__ = ["CONSUMER", "EventSpeaker"]

_log = logging.getLogger(__name__)

CONSUMER = "events"
_WINDOW = 20  # sent and not acknowledged; at most so many come twice after `kill -9`
_FETCH = 100
_TURN_S = 1.0
_WRITE_S = 0.2  # between two notes of what was acknowledged, while more is under way


class EventSpeaker:
    """Speaks for the outbox.

    Args:
        config: the table.
        outbox: with a consumer `CONSUMER` of events and masks.
        box: second part of the topics.
    """

    def __init__(self, config: EventsConfig, outbox: Outbox, *, box: str) -> None:
        self.client_id = config.client_id or f"gasedge-events-{config.site}-{box}"
        self._prefix = f"gasedge/v1/{config.site}/{box}/"
        self._gap_s = 1 / config.replay_per_s
        self._outbox = outbox
        self._fetched: deque[Record] = deque()
        self._last_n = 0  # of those fetched
        self._under_way: deque[tuple[int, Record]] = deque()  # message number, record
        self._arrived: set[int] = set()  # message numbers, not yet in order
        self._done: Record | None = None  # the last of an unbroken row that arrived
        self._done_mask = 0
        self._written_s = 0.0
        self._next_s = 0.0

    def before(self) -> None:
        """See `Speaker`; a box that is gone is told by Sparkplug, not here."""

    def unreached(self) -> None:
        """See `Speaker`."""

    def subscriptions(self) -> list[tuple[str, int]]:
        """See `Speaker`."""
        return []

    def opened(self, line: Line) -> None:
        """See `Speaker`."""

    def heard(self, line: Line, topic: str, payload: bytes, *, retained: bool) -> None:
        """See `Speaker`; nothing is asked for."""

    def acknowledged(self, number: int) -> None:
        """See `Speaker`: a record counts once all before it arrived, too."""
        self._arrived.add(number)
        while self._under_way and self._under_way[0][0] in self._arrived:
            first, self._done = self._under_way.popleft()
            self._arrived.discard(first)
            self._done_mask = max(self._done_mask, mask_number(self._done) or 0)

    def turn(self, line: Line | None) -> float:
        """See `Speaker`."""
        now_s = time.monotonic()
        if self._done is not None and (
            not self._under_way or now_s - self._written_s >= _WRITE_S or line is None
        ):
            self._note(now_s)
        if line is None:
            return _TURN_S
        while len(self._under_way) < _WINDOW and not line.busy:
            if now_s < self._next_s:
                return self._next_s - now_s
            record = self._next()
            if record is None:
                break
            self._send(line, record)
            self._next_s = max(self._next_s, now_s - _WINDOW * self._gap_s) + self._gap_s
        return _WRITE_S if self._done is not None else _TURN_S

    def farewell(self, line: Line) -> None:
        """See `Speaker`."""

    def closed(self) -> None:
        """See `Speaker`: what was under way is sent again, from the first that did not arrive."""
        if self._done is not None:
            self._note(time.monotonic())
        self._fetched.clear()
        self._under_way.clear()
        self._arrived.clear()
        self._last_n = 0

    def _next(self) -> Record | None:
        if not self._fetched:
            done_n = max(self._last_n, self._done.n if self._done is not None else 0)
            with self._told_when_unreadable():
                self._fetched.extend(
                    self._outbox.waiting(CONSUMER, Stream.EVENT, _FETCH, after=done_n)
                )
        if not self._fetched:
            return None
        record = self._fetched.popleft()
        self._last_n = record.n
        return record

    def _send(self, line: Line, record: Record) -> None:
        mask = None
        number = mask_number(record)
        if number is not None:
            with self._told_when_unreadable():
                kept = self._outbox.record(Stream.MASK, number)
                mask = None if kept is None else kept.body
        topic, payload = published_event(record, mask, time.time_ns())
        message = Message(self._prefix + topic, payload, qos=1)
        self._under_way.append((line.say(message), record))

    def _note(self, now_s: float) -> None:
        """Write down what arrived; failing that it comes again, which a number makes harmless."""
        done, self._written_s = self._done, now_s
        if done is None:
            return
        with self._told_when_unreadable():
            with self._outbox.batch():
                self._outbox.delivered(CONSUMER, Stream.EVENT, done.n)
                if self._done_mask:
                    self._outbox.delivered(CONSUMER, Stream.MASK, self._done_mask)
            self._done, self._done_mask = None, 0

    @contextlib.contextmanager
    def _told_when_unreadable(self) -> Iterator[None]:
        try:
            yield
        except NotKeptError as error:
            _log.warning("events wait: %s", error)
