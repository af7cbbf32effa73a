"""The plant process: hears the frames process, watches how fresh its word is, serves the plant.

It is a process of its own: nothing that a client does here can touch a frame, and when the frames
process dies, this one lives on to say *unknown*.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from contract.packages import need
from edge_runtime.alarms.desk import WatchedCamera
from edge_runtime.heap import give_back_large_pieces
from edge_runtime.plant.certificate_watch import certificates_watched
from edge_runtime.plant.device_told import DeviceTold
from edge_runtime.plant.drill_audit import DrillAudit
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.keeping import keeping
from edge_runtime.plant.modbus import serve_modbus
from edge_runtime.plant.mqtt.serve import consumers, serve_mqtt
from edge_runtime.plant.receiver import Board, receive
from edge_runtime.plant.relay import RELAY, serve_relay
from edge_runtime.plant.syslog_sender import serve_syslog
from edge_runtime.slots.audit import SlotAudit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from contract.tags import Quality
    from edge_runtime.alarms.desk import Desk
    from edge_runtime.device.config import DeviceConfig
    from edge_runtime.plant.config import PlantConfig
    from edge_runtime.plant.freshness import Published
    from edge_runtime.plant.keeping import Keeping

__all__ = ["WATCH_S", "run_gateway"]

_log = logging.getLogger(__name__)

WATCH_S = 0.1
"""Seconds between two looks at the board: values grow old by time alone."""
_REST_S = 0.03  # and do not look more often than this when much arrives
_MAX_CAMERAS = 16
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def run_gateway(
    config: PlantConfig,
    cameras: Sequence[str],
    socket_path: Path,
    *,
    watched: Sequence[WatchedCamera] = (),
    config_sha256: str = "",
    device: DeviceConfig | None = None,
    beat: Callable[[], None] = lambda: None,
    slots: Path | None = None,
) -> None:
    """Serve the plant until SIGTERM or SIGINT; the process' main thread runs it.

    Args:
        config: what is served; a protocol without its table does not listen.
        cameras: names, 1 to 16; the first is Modbus unit 1.
        socket_path: Unix socket that `PlantLink` connects to, in a folder of its own.
        watched: how the alarms of each camera behave; without it, by default.
        config_sha256: of the whole configuration, for the audit journal.
        device: when heat, disk and clock of the device are told; None does not watch them.
        beat: called whenever the process' loop comes round.
        slots: folder of slots whose history goes into the audit journal.

    Raises:
        ConfigError: when an address is taken or a setting cannot be used.
        MissingPackageError: when a protocol's library is not installed.
    """
    wrong = [name for name in cameras if not _NAME.fullmatch(name)]
    if wrong or not 1 <= len(cameras) <= _MAX_CAMERAS or len(set(cameras)) != len(cameras):
        raise ConfigError(
            f"cameras {list(cameras)}: 1 to {_MAX_CAMERAS} different names of A-Z a-z 0-9 _ . -"
        )
    give_back_large_pieces()
    watched = watched or [WatchedCamera(name) for name in cameras]
    with keeping(config, watched, config_sha256=config_sha256, consumers=consumers(config)) as kept:
        folder = socket_path.parent
        watching = None if device is None else DeviceTold(kept.desk, device, config, folder=folder)
        models = None if slots is None else SlotAudit(kept.desk, slots)

        def turn() -> None:
            beat()
            if models is not None:
                models.look(time.monotonic())

        asyncio.run(_serve(config, cameras, socket_path, kept, config_sha256, watching, turn))


async def _serve(
    config: PlantConfig,
    cameras: Sequence[str],
    socket_path: Path,
    kept: Keeping,
    config_sha256: str,
    device: DeviceTold | None,
    turn: Callable[[], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    board = Board(cameras, Limits(config.stale_after_s, config.bad_after_s))
    board.own_word = kept.desk.own_word
    async with contextlib.AsyncExitStack() as stack:
        if config.modbus is not None:
            served = serve_modbus(config.modbus, board, serial=config.serial)
            await stack.enter_async_context(served)
        if config.page is not None:
            need("aiohttp", extra="scada")
            page = need("edge_runtime.plant.page", extra="scada")
            await stack.enter_async_context(page.serve_page(config, board, kept))
        await stack.enter_async_context(certificates_watched(config, kept.desk))
        if config.syslog is not None:

            def tell(text: str | None) -> None:
                loop.call_soon_threadsafe(kept.desk.maintain, "syslog", text)

            stack.enter_context(serve_syslog(config.syslog, kept.desk.journal, tell))
        spoken = serve_mqtt(config, board, kept, loop, config_sha256=config_sha256)
        offer = stack.enter_context(spoken)
        relay = serve_relay(board, kept.desk, socket_path.with_name(RELAY), kept.evidence)
        await stack.enter_async_context(relay)
        await stack.enter_async_context(receive(board, socket_path))
        _log.info("the plant gateway serves %d cameras", len(cameras))
        if device is not None:
            stack.enter_context(device.watched(loop))
        watching = _watch(board, kept.desk, offer, stop, turn)
        watch = asyncio.create_task(watching, name="gasedge-freshness-watch")
        ending = asyncio.create_task(stop.wait())
        # the watch ends with `stop` only: if it fails, the whole process fails, loudly
        await asyncio.wait({watch, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        await watch


async def _watch(
    board: Board,
    desk: Desk,
    offer: Callable[[Published], None],
    stop: asyncio.Event,
    turn: Callable[[], None],
) -> None:
    """Judge alarms and publish what is true now; log a camera's quality.

    It is not ended by cancelling: `wait_for` may swallow that when news comes at the same moment.
    """
    qualities: dict[str, Quality] = {}
    drills = DrillAudit(desk)
    while not stop.is_set():
        turn()
        board.news.clear()
        desk.tick()
        for camera in board.cameras:
            desk.look(board.heard(camera))
            shown = board.show(camera)
            drills.look(shown.snapshot)
            offer(shown)
            quality = shown.snapshot.quality
            if qualities.get(camera) != quality:
                qualities[camera] = quality
                _log.info("camera %s: quality is %s", camera, quality.name)
        await asyncio.sleep(_REST_S)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(board.news.wait(), WATCH_S - _REST_S)
