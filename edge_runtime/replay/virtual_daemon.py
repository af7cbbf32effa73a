"""The daemon's own parts, from the reader's slot to the plant's board, driven by virtual time.

Nothing is told anew here: camera states, their health and leak rules, the messages to the plant,
what becomes of them there and the alarms are the ones of `gasedge run`. Only what threads and
clocks decide there, the order of things, is decided by this file: what has the earlier time comes
first, and at one instant pictures come before masks, masks before the status thread, that before
the plant's look.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from contract.errors import EngineError
from contract.tags import Quality
from edge_runtime.alarms.desk import Desk
from edge_runtime.alarms.event_id import uuid7
from edge_runtime.alarms.machine import Now
from edge_runtime.alarms.watched import watched_cameras
from edge_runtime.camera_state import CameraState, camera_state_of
from edge_runtime.database import Database
from edge_runtime.frames import Frame
from edge_runtime.latest import LatestFrame
from edge_runtime.pipeline import STATUS_S
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.gateway import WATCH_S
from edge_runtime.plant.messages import PREFIX_BYTES, encode_snapshot, sizes_from_prefix
from edge_runtime.plant.receiver import Board
from edge_runtime.shadow import Turns
from edge_runtime.sources.reader import Phase, ReaderStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contract.geometry import InputGeometry
    from contract.segmenter import Segmentation
    from edge_runtime.camera_state import ModelFacts
    from edge_runtime.config import DaemonConfig
    from edge_runtime.plant.freshness import Published
    from edge_runtime.replay.arrivals import Arrival
    from edge_runtime.shadow import ShadowNetwork

__all__ = ["VirtualDaemon"]

_ZERO_NS = 1_000_000_000_000  # the monotonic clock at the beginning
_UTC_NS = 1_767_225_600_000_000_000 - _ZERO_NS  # 2026-01-01T00:00:00Z is the beginning
_STATUS_NS = round(STATUS_S * 1e9)
_LOOK_NS = round(WATCH_S * 1e9)
_PATIENCE_NS = 600_000_000_000  # after the last clip's end


@dataclass(slots=True)
class _Line:
    """One camera."""

    name: str
    state: CameraState
    slot: LatestFrame
    reader: ReaderStatus = field(default_factory=ReaderStatus)
    found: Segmentation | None = None  # of the frame in the slot
    quality: Quality = Quality.BAD  # at the plant


class VirtualDaemon:
    """Frames process and plant process of a configuration, without processes.

    Args:
        config: with the cameras to replay, and no others.
        geometry: of the network's input.
        facts: what runs.
        latency_ns: from taking a picture up to its mask.
        shadow: compares pictures as `[drift]` says; it never skips one. None compares none.
        tell: told the time in ns since the beginning and what the plant shows of a camera, each
            time that the plant looks.
    """

    def __init__(
        self,
        config: DaemonConfig,
        geometry: InputGeometry,
        facts: ModelFacts,
        *,
        latency_ns: int,
        shadow: ShadowNetwork | None,
        tell: Callable[[int, Published], None],
    ) -> None:
        self.now_ns = 0  # since the beginning
        self._geometry, self._facts = geometry, facts
        self._latency_ns, self._tell = latency_ns, tell
        self._shadow, self._turns = shadow, Turns(config.drift.every or 1)
        arrived = threading.Event()
        self._lines = [
            _Line(camera.name, camera_state_of(config, camera, unit), LatestFrame(arrived))
            for unit, camera in enumerate(config.camera, start=1)
        ]
        limits = Limits(config.plant.stale_after_s, config.plant.bad_after_s)
        self._board = Board(
            [line.name for line in self._lines], limits, clock_ns=lambda: _ZERO_NS + self.now_ns
        )
        ids = count()
        self._desk = Desk(
            watched_cameras(config),
            Database(None),
            clock=lambda: Now(self._now_s, _UTC_NS + _ZERO_NS + self.now_ns, boot_id="replay"),
            new_id=lambda utc_ns: uuid7(utc_ns, next(ids)),
        )
        self._board.own_word = self._desk.own_word
        self._turn = 0
        self._flight: tuple[int, _Line, Frame, Segmentation] | None = None  # with when it is done
        self._status_ns, self._look_ns = _STATUS_NS, 0
        self.segmented = 0

    def run(self, arrivals: Iterator[Arrival]) -> None:
        """Take in everything, and go on until the plant says unknown of every camera.

        Raises:
            EngineError: when the plant never says so.
        """
        for arrival in arrivals:
            self._pass_time(arrival.at_ns)
            self.now_ns = arrival.at_ns
            self._arrive(arrival)
            self._work()
        ended_ns = self.now_ns
        while self._flight or any(line.quality is not Quality.BAD for line in self._lines):
            self._pass_time(self.now_ns + _LOOK_NS)
            self.now_ns += _LOOK_NS
            if self.now_ns - ended_ns > _PATIENCE_NS:
                raise EngineError("the clips have ended and the plant still believes a camera")

    def _arrive(self, arrival: Arrival) -> None:
        line = self._lines[arrival.camera]
        if arrival.picture is None:
            line.reader = replace(line.reader, phase=Phase.ENDED, detail=arrival.ended)
            return
        captured = line.reader.captured + 1
        line.reader = replace(line.reader, phase=Phase.READING, captured=captured)
        taken_ns = _ZERO_NS + self.now_ns
        line.slot.put(Frame(line.name, captured, _UTC_NS + taken_ns, taken_ns, arrival.picture))
        line.found = arrival.found

    def _pass_time(self, until_ns: int) -> None:
        """Do what is due before `until_ns`."""
        while True:
            done_ns = self._flight[0] if self._flight else until_ns
            due_ns = min(done_ns, self._status_ns, self._look_ns)
            if due_ns >= until_ns:
                return
            self.now_ns = due_ns
            if self._flight and done_ns == due_ns:
                self._work()
            elif self._status_ns == due_ns:
                self._status_ns += _STATUS_NS
                for line in self._lines:
                    self._publish(line)
            else:
                self._look_ns += _LOOK_NS
                for line in self._lines:
                    self._look(line)

    def _work(self) -> None:
        """The worker: finish the mask that is due, then take the newest picture in turn."""
        while True:
            if self._flight is not None:
                done_ns, line, frame, found = self._flight
                if done_ns > self.now_ns:
                    return
                self._flight = None
                self._judge(line, frame, found)
            taken = self._taken()
            if taken is None:
                return
            self._flight = (self.now_ns + self._latency_ns, *taken)

    def _taken(self) -> tuple[_Line, Frame, Segmentation] | None:
        for _ in self._lines:
            line = self._lines[self._turn]
            self._turn = (self._turn + 1) % len(self._lines)
            frame, found = line.slot.take(), line.found
            if frame is None or found is None:
                continue
            if line.state.saw(frame):
                return line, frame, found
            self._publish(line)
        return None

    def _judge(self, line: _Line, frame: Frame, found: Segmentation) -> None:
        height, width = frame.picture.shape[:2]
        fit = self._geometry.of(width, height)
        line.state.segmented(
            frame,
            found.mask[0],
            found.score[0],
            fit,
            self._now_s,
            model_sha256=self._facts.sha256,
        )
        if self._shadow is not None and self._turns.is_due(line.name):
            sample = self._shadow.sample(frame.picture, found.mask[0], fit)
            line.state.drifted(sample, frame)
        self.segmented += 1
        if line.state.is_due(self._now_s):
            self._publish(line)

    def _publish(self, line: _Line) -> None:
        snapshot = line.state.snapshot(self._now_s, line.reader, self._facts, line.slot.dropped)
        now_ns = _ZERO_NS + self.now_ns
        age_ns = _UTC_NS + now_ns - snapshot.source_time_ns
        message = encode_snapshot(snapshot, sent_ns=now_ns, age_ns=age_ns)
        header, _ = sizes_from_prefix(message[:PREFIX_BYTES])
        body = message[PREFIX_BYTES:]
        self._board.take(body[:header], body[header:])
        self._look(line)

    def _look(self, line: _Line) -> None:
        self._desk.tick()
        self._desk.look(self._board.heard(line.name))
        shown = self._board.show(line.name)
        line.quality = shown.snapshot.quality
        self._tell(self.now_ns, shown)

    @property
    def _now_s(self) -> float:
        return (_ZERO_NS + self.now_ns) / 1e9
