"""Starts what `[plant.sparkplug]` and `[plant.events]` ask for, beside the plant's event loop."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import time
import uuid
from typing import TYPE_CHECKING

from contract.roles import Role
from edge_runtime.alarms.clock import machine_now
from edge_runtime.database import SERIES
from edge_runtime.outbox import Stream
from edge_runtime.plant.mqtt.connection import MqttConnection
from edge_runtime.plant.mqtt.event_speaker import CONSUMER as EVENTS
from edge_runtime.plant.mqtt.event_speaker import EventSpeaker
from edge_runtime.plant.mqtt.event_writer import EventWriter
from edge_runtime.plant.sparkplug.death_number import DeathNumber
from edge_runtime.plant.sparkplug.history import CONSUMER as SPARKPLUG
from edge_runtime.plant.sparkplug.history import History
from edge_runtime.plant.sparkplug.node import Identity
from edge_runtime.plant.sparkplug.speaker import SparkplugSpeaker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contract.alarms import Action, Alarm
    from contract.tags import CameraSnapshot
    from edge_runtime.alarms.journal import Journal
    from edge_runtime.outbox import Outbox
    from edge_runtime.plant.config import PlantConfig
    from edge_runtime.plant.evidence_told import Evidence
    from edge_runtime.plant.freshness import Published
    from edge_runtime.plant.keeping import Keeping
    from edge_runtime.plant.mqtt.config import EventsConfig, SparkplugConfig
    from edge_runtime.plant.receiver import Board

    Offer = Callable[[Published], None]
    Tell = Callable[[str | None], None]

__all__ = ["consumers", "serve_mqtt"]

_log = logging.getLogger(__name__)

_GAP_S = 0.1  # of two looks at one camera in which nothing urgent changed
_URGENT = ("Leak/State", "Health/Code", "Health/Quality", "Leak/AlarmState")


def consumers(config: PlantConfig) -> dict[str, tuple[Stream, ...]]:
    """Who is given what from the outbox."""
    asked: dict[str, tuple[Stream, ...]] = {}
    if config.events is not None:
        asked[EVENTS] = (Stream.EVENT, Stream.MASK)
    if config.sparkplug is not None:
        asked[SPARKPLUG] = (Stream.TELEMETRY,)
    return asked


@contextlib.contextmanager
def serve_mqtt(
    config: PlantConfig,
    board: Board,
    kept: Keeping,
    loop: asyncio.AbstractEventLoop,
    *,
    config_sha256: str,
) -> Iterator[Offer]:
    """Speak over MQTT from threads of their own; yields what takes how a camera is now.

    Raises:
        ConfigError: when credentials or certificates cannot be used.
        MissingPackageError: when paho-mqtt is not installed.
    """
    state_dir = config.state_dir
    connections: list[MqttConnection] = []
    with contextlib.ExitStack() as stack:
        if config.events is not None and kept.outbox is not None:
            box = config.events.box or config.serial
            tell = _maintenance(kept, loop, "mqtt events")
            served = _events(
                config.events, board, kept, kept.outbox, box, tell, config_sha256=config_sha256
            )
            connections += stack.enter_context(served)
        offer: Offer = _nobody
        if config.sparkplug is not None and state_dir is not None:
            spoken = _sparkplug(
                config.sparkplug, board, kept, loop, state_dir, serial=config.serial
            )
            connection, offered = stack.enter_context(spoken)
            connections.append(connection)
            offer = _not_too_often(offered)
        try:
            yield offer
        finally:
            for each in connections:  # together: two that hang are waited for at once
                each.end_soon()


@contextlib.contextmanager
def _events(
    config: EventsConfig,
    board: Board,
    kept: Keeping,
    outbox: Outbox,
    box: str,
    tell: Tell,
    *,
    config_sha256: str,
) -> Iterator[list[MqttConnection]]:
    def look(camera: str) -> CameraSnapshot | None:
        return board.show(camera).snapshot if camera in board.cameras else None

    def origin() -> dict[str, str]:
        series = _series(kept.desk.journal)
        return {"site": config.site, "box": box, "series": series, "config_hash": config_sha256}

    writer = EventWriter(outbox, origin=origin, look=look, clock=machine_now)
    for alarm in kept.desk.alarms():
        writer.know(alarm)
    speaker = EventSpeaker(config, outbox, box=box)
    with MqttConnection(config, speaker, tell).start() as connection:

        def told(alarm: Alarm) -> None:
            writer.told(alarm)
            connection.wake()

        def told_evidence(evidence: Evidence) -> None:
            writer.evidence(evidence.camera, evidence.event_id, evidence.sha256)
            connection.wake()

        ends = (
            kept.desk.listen(told),
            kept.desk.keep_with(writer.write, writer.kept),
            kept.evidence.listen(told_evidence),
        )
        try:
            yield [connection]
        finally:
            kept.desk.hand_over()  # what waits is kept with its events, or it waits on
            for end in ends:
                end()


def _series(journal: Journal) -> str:
    """The name of the numbering of events; it is kept with the first of them, or neither is.

    Raises:
        NotKeptError: when the disk does not take it.
    """
    series = journal.fact(SERIES)
    if not series:
        series = uuid.uuid4().hex
        journal.remember(SERIES, series)
    return series


@contextlib.contextmanager
def _sparkplug(
    config: SparkplugConfig,
    board: Board,
    kept: Keeping,
    loop: asyncio.AbstractEventLoop,
    state_dir: Path,
    *,
    serial: str,
) -> Iterator[tuple[MqttConnection, Offer]]:
    version = importlib.metadata.version("gasedge")
    identity = Identity(
        config.group,
        config.node or serial,
        board.cameras,
        {"Properties/Software": f"gasedge {version}", "Properties/Serial": serial},
        host=config.primary_host,
        commands=None if config.commands == "none" else Role[config.commands.upper()],
        masks=config.masks,
    )

    def act(action: Action) -> None:
        outcome = kept.desk.act(action)
        _log.info("%s %s: %s", action.kind.label, action.alarm_id, outcome.value)

    def ask(action: Action) -> None:
        loop.call_soon_threadsafe(act, action)

    speaker = SparkplugSpeaker(
        config,
        identity,
        kept.desk.alarms(),
        History(kept.outbox, window_s=2.0 * config.keepalive_s),
        DeathNumber(state_dir / "sparkplug-bdseq"),
        ask,
    )
    tell = _maintenance(kept, loop, "mqtt sparkplug")
    with MqttConnection(config, speaker, tell).start() as connection:

        def offer(what: Published | Alarm) -> None:
            speaker.offer(what)
            connection.wake()

        end = kept.desk.listen(offer)
        try:
            yield connection, offer
        finally:
            end()
    if connection.has_ended:
        speaker.end()


def _maintenance(kept: Keeping, loop: asyncio.AbstractEventLoop, reason: str) -> Tell:
    """What any thread may call with what an operator should know."""

    def tell(text: str | None) -> None:
        loop.call_soon_threadsafe(kept.desk.maintain, reason, text)

    return tell


def _nobody(shown: Published) -> None:
    """Take how a camera is now, where nobody asked."""


def _not_too_often(offer: Offer) -> Offer:
    """Hand on ten looks a second of each camera, and at once what is urgent."""
    told: dict[str, tuple[float, object]] = {}

    def sparing(shown: Published) -> None:
        snapshot = shown.snapshot
        now_s = time.monotonic()
        urgent = tuple(snapshot.values.get(name) for name in _URGENT)
        at_s, before = told.get(snapshot.camera, (0.0, None))
        if urgent != before or now_s - at_s >= _GAP_S:
            told[snapshot.camera] = now_s, urgent
            offer(shown)

    return sparing
