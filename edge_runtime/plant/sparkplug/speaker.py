"""Joins the edge node with its connection on one side and the plant process on the other."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from edge_runtime.plant.freshness import Published
from edge_runtime.plant.sparkplug.node import EdgeNode, Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contract.alarms import Action, Alarm
    from edge_runtime.plant.mqtt.config import SparkplugConfig
    from edge_runtime.plant.mqtt.speaking import Line, Message
    from edge_runtime.plant.sparkplug.death_number import DeathNumber
    from edge_runtime.plant.sparkplug.history import History
    from edge_runtime.plant.sparkplug.node import Identity

__all__ = ["SparkplugSpeaker"]

_log = logging.getLogger(__name__)

_WAITING = 4096  # things handed over and not yet looked at: seconds of sixteen cameras
_TURN_S = 0.5
_REPLAY_TURN_S = 0.05
_HOST_S = 5.0  # to say that it is there, when there are other brokers to try


class SparkplugSpeaker:
    """Speaks for one node; `offer` may be called from any thread and never waits.

    Args:
        config: the table.
        identity: who speaks.
        alarms: all of them, as they stand.
        history: keeps what could not be sent.
        numbers: of the deaths.
        act: hands an action to the alarm desk, from this thread.
    """

    def __init__(
        self,
        config: SparkplugConfig,
        identity: Identity,
        alarms: Sequence[Alarm],
        history: History,
        numbers: DeathNumber,
        act: Callable[[Action], None],
    ) -> None:
        self.client_id = config.client_id or f"gasedge-{identity.group}-{identity.node}"
        self._node = EdgeNode(identity, alarms, history)
        self._history = history
        self._numbers = numbers
        self._act = act
        self._many_brokers = len(config.brokers) > 1
        self._opened_s = 0.0
        self._alarms: deque[Alarm] = deque()  # offered and not yet taken; none is ever dropped
        self._looks: deque[Published] = deque()  # the next one says how it is then
        self._dropped = self._counted = 0  # looks

    def offer(self, what: Published | Alarm) -> None:
        """Hand over how a camera or an alarm is now."""
        if not isinstance(what, Published):
            self._alarms.append(what)
            return
        if len(self._looks) >= _WAITING:
            with contextlib.suppress(IndexError):  # it was taken just now
                self._looks.popleft()
                self._dropped += 1
        self._looks.append(what)

    def before(self) -> Message:
        """See `Speaker`."""
        return self._node.will(self._numbers.next())

    def unreached(self) -> None:
        """See `Speaker`."""
        self._numbers.take_back()

    def subscriptions(self) -> list[tuple[str, int]]:
        """See `Speaker`."""
        return self._node.subscriptions()

    def opened(self, line: Line) -> None:
        """See `Speaker`."""
        self._opened_s = time.monotonic()
        self._node.can_send = not line.busy
        self._say(line, self._node.opened(_now()))

    def heard(self, line: Line, topic: str, payload: bytes, *, retained: bool) -> None:
        """See `Speaker`."""
        self._node.can_send = not line.busy
        heard = self._node.heard(topic, payload, _now(), retained=retained)
        if heard.fault:
            _log.debug("%s: %s", topic, heard.fault)
        self._say(line, heard.out)
        for action in heard.actions:
            self._act(action)

    def acknowledged(self, number: int) -> None:
        """See `Speaker`; data is not acknowledged in Sparkplug."""

    def turn(self, line: Line | None) -> float:
        """See `Speaker`."""
        now = _now()
        told = self._take_offers(line, now)
        self._node.can_send = line is not None and not line.busy
        told += self._node.turn(now)
        self._say(line, told)
        self._history.turn(now.s, time.time_ns())
        if line is not None:
            silent = self._many_brokers and now.s - self._opened_s > _HOST_S
            if self._node.wants_to_leave or (silent and self._node.is_waiting_for_host):
                line.leave()
        return _REPLAY_TURN_S if told else _TURN_S

    def farewell(self, line: Line) -> None:
        """See `Speaker`."""
        self._say(line, self._node.farewell(_now()))

    def closed(self) -> None:
        """See `Speaker`."""
        self._node.closed()

    def end(self) -> None:
        """Keep what nobody got yet, after the last connection."""
        self._take_offers(None, _now())
        self._node.closed()
        self._history.turn(time.monotonic(), time.time_ns(), at_once=True)

    def _take_offers(self, line: Line | None, now: Moment) -> list[Message]:
        told: list[Message] = []
        for _ in range(len(self._alarms)):
            self._node.can_send = line is not None and not line.busy
            told += self._node.alarm(self._alarms.popleft(), now)
        for _ in range(len(self._looks)):
            self._node.can_send = line is not None and not line.busy
            try:
                look = self._looks.popleft()
            except IndexError:  # they were dropped just now
                break
            told += self._node.look(look, now)
        dropped = self._dropped
        self._history.lost(dropped - self._counted)
        self._counted = dropped
        return told

    def _say(self, line: Line | None, messages: Sequence[Message]) -> None:
        if line is not None:
            for message in messages:
                line.say(message)


def _now() -> Moment:
    return Moment(time.monotonic(), time.time_ns() // 1_000_000)
