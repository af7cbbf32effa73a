"""The OPC UA process: a server of its own beside the gateway, fed by its relay.

A flood of clients, a fault of the library or a kill touches neither alarms nor the other
interfaces. It keeps a board of its own, so that values grow stale and bad by time alone when the
gateway is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from asyncua import ua

from contract.alarms import Alarm, AlarmKind
from edge_runtime.heap import give_back_large_pieces
from edge_runtime.plant.device_certificate import current_certificate
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.opcua import serve_opcua
from edge_runtime.plant.opcua_tree import value_status
from edge_runtime.plant.receiver import Board
from edge_runtime.plant.relay import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from edge_runtime.plant.config import OpcUaConfig, PlantConfig
    from edge_runtime.plant.messages import Picture, Sent
    from edge_runtime.plant.opcua import Served

__all__ = ["run_opcua"]

_log = logging.getLogger(__name__)

_WATCH_S = 0.1  # values grow old by time alone
_REST_S = 0.03  # and do not look more often than this when much arrives
_TREE_S = 0.08  # what is not urgent waits for its turn
_URGENT = ("Leak/State", "Health/Code")
_CERTIFICATE_S = 60.0
_WARN_S = 30 * 86_400.0


def run_opcua(
    config: PlantConfig,
    cameras: Sequence[str],
    relay_path: Path,
    *,
    longest_s: Mapping[str, float],
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Serve OPC UA until SIGTERM or SIGINT; the process' main thread runs it.

    Args:
        config: of the plant, with `opcua`.
        cameras: their names.
        relay_path: the gateway's relay.
        longest_s: of a shelving, by camera.
        beat: called several times a second while all goes well.

    Raises:
        ConfigError: when the address is taken or a setting cannot be used.
    """
    give_back_large_pieces()
    if config.opcua is not None:
        asyncio.run(_serve(config, config.opcua, cameras, relay_path, longest_s, beat))


async def _serve(
    config: PlantConfig,
    own: OpcUaConfig,
    cameras: Sequence[str],
    relay_path: Path,
    longest_s: Mapping[str, float],
    beat: Callable[[], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    board = Board(cameras, Limits(config.stale_after_s, config.bad_after_s))
    changed: deque[Alarm] = deque(maxlen=10_000)

    def heard(message: Sent | Picture | Alarm) -> None:
        if isinstance(message, Alarm):
            changed.append(message)
            board.news.set()

    relay = RelayClient(relay_path, board, heard=heard)
    served = serve_opcua(
        own, cameras, serial=config.serial, act=relay.act, note=relay.note, longest_s=longest_s
    )
    async with served as shown:
        tasks = [
            asyncio.create_task(relay.run(), name="gasedge-relay-client"),
            asyncio.create_task(
                _watch(board, relay, shown, changed, beat, stop), name="gasedge-watch"
            ),
            asyncio.create_task(stop.wait(), name="gasedge-stop"),
        ]
        if own.security == "encrypted":
            tasks.append(asyncio.create_task(_certificate(own, relay), name="gasedge-certificate"))
        # a new certificate or a signal ends them: if one fails, the process fails, loudly
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # the watch's `wait_for` may swallow that it is cancelled
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _watch(
    board: Board,
    relay: RelayClient,
    shown: Served,
    changed: deque[Alarm],
    beat: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """Show what is true now."""
    told: dict[str, tuple[float, Any]] = {}
    looked: tuple[bool, dict[str, int]] | None = None
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        beat()
        board.news.clear()
        alarms = [*changed]  # taken before the values are looked at, which came before them
        changed.clear()
        statuses = {}
        for camera in board.cameras:
            now = board.show(camera)
            statuses[camera] = value_status("Leak", now)
            values = (now.snapshot.value(name) for name in _URGENT)
            urgent = (relay.connected, now.snapshot.quality, *values)
            at_s, before = told.get(camera, (0.0, None))
            if urgent != before or loop.time() - at_s >= _TREE_S:
                told[camera] = loop.time(), urgent
                await shown.tree.publish(now, linked=relay.connected)
        if (relay.connected, statuses) != looked:
            looked = relay.connected, statuses
            alarms += relay.alarms.values()  # the same alarms, looked at better or worse
        for alarm in alarms:
            await shown.conditions.tell(alarm, _status(alarm, statuses, relay))
        await asyncio.sleep(_REST_S)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(board.news.wait(), _WATCH_S - _REST_S)


def _status(alarm: Alarm, statuses: Mapping[str, int], relay: RelayClient) -> int:
    """A leak's alarm is as good as the look at it; the others are the gateway's word."""
    if not relay.connected:
        return int(ua.StatusCodes.BadNoCommunication)
    if alarm.kind is AlarmKind.LEAK:
        return statuses[alarm.camera]
    return int(ua.StatusCodes.Good)


async def _certificate(own: OpcUaConfig, relay: RelayClient) -> None:
    """Ask for maintenance before the device's certificate ends; end when there is a new one."""
    began = current_certificate(own.state_dir)
    warned = False
    while True:
        now = current_certificate(own.state_dir)
        if now.der != began.der:
            _log.warning("the device's OPC UA certificate is a new one: starting again with it")
            return
        left = now.valid_until.timestamp() - time.time()
        text = None
        if left < _WARN_S:
            text = (
                f"the OPC UA certificate ends in {max(0, int(left / 86_400))} days: "
                f"gasedge trust renew {own.state_dir}, then let the clients trust the new one"
            )
            if not warned:
                _log.warning("%s", text)
            warned = True
        relay.maintain("opcua certificate", text)
        await asyncio.sleep(_CERTIFICATE_S)
