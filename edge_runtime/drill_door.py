"""Where `gasedge drill` asks the running daemon for a drill: a private socket in the state folder.

One line of JSON each way at a time. A drill lasts while the one who asked for it stays connected,
so that it ends with him, however he ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from contract.errors import InputError
from edge_runtime.door import Door
from edge_runtime.drill import MOST_S
from edge_runtime.plant.private_socket import read_request

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.drill import DrillReport

__all__ = ["DrillDoor", "Drilled", "door_path"]

_log = logging.getLogger(__name__)

_LOOK_S = 0.02


def door_path(state_dir: Path) -> Path:
    """The socket, in a folder that nobody else may enter."""
    return state_dir / "drill" / "door.sock"


class Drilled(Protocol):
    """Who holds the drills: the pipeline."""

    def begin_drill(self, camera: str, seconds: float) -> str:
        """Begin one; why not, or ""."""

    def drill(self, camera: str) -> DrillReport | None:
        """How a camera's last one stands."""

    def end_drill(self, camera: str, why: str) -> None:
        """End a camera's drill, if one is on."""


class DrillDoor(Door):
    """Takes requests in a thread of its own; a context manager.

    Args:
        socket_path: as `door_path` says.
        drilled: holds the drills.
    """

    def __init__(self, socket_path: Path, drilled: Drilled) -> None:
        self._drilled = drilled
        super().__init__(socket_path, name="gasedge-drill-door", lost="no drills")

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one drill and tell how it goes."""

        def tell(**said: Any) -> None:
            writer.write(json.dumps(said).encode() + b"\n")

        try:
            wish = await read_request(reader)
            camera, seconds = str(wish["camera"]), float(wish["seconds"])
        except (InputError, KeyError, TypeError, ValueError, OverflowError):
            tell(refused="that is no request for a drill")
            return
        if not 0 < seconds <= MOST_S:
            tell(refused=f"a drill lasts up to {MOST_S:g} s, not {seconds:g}")
            return
        loop = asyncio.get_running_loop()
        refused = await loop.run_in_executor(None, self._drilled.begin_drill, camera, seconds)
        if refused:
            tell(refused=refused)
            return
        _log.warning("a drill has begun on camera %s, for %.0f s at most", camera, seconds)
        tell(begun_ns=time.monotonic_ns())
        gone = asyncio.ensure_future(reader.read(1))
        told = False
        try:
            while not gone.done() and not self._stop.is_set():
                report = self._drilled.drill(camera)
                if report is None:
                    break
                if report.leak_ns is not None and not told:
                    tell(leak_ns=report.leak_ns)
                    told = True
                if report.ended:
                    tell(ended=report.ended)
                    break
                await writer.drain()
                await asyncio.sleep(_LOOK_S)
        finally:
            gone.cancel()
            self._drilled.end_drill(camera, "whoever asked for it has left")
            report = self._drilled.drill(camera)
            why = report.ended if report is not None else "there is none"
            _log.warning("the drill on camera %s has ended: %s", camera, why)
            await _flushed(writer)


async def _flushed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await asyncio.wait_for(writer.drain(), 1.0)
        writer.close()
        await writer.wait_closed()
