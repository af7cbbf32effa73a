"""Where `gasedge drill` asks the running daemon for a drill: a private socket in the state folder.

One line of JSON each way at a time. A drill lasts while the one who asked for it stays connected,
so that it ends with him, however he ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from contract.closing import Closing
from contract.errors import ConfigError, InputError
from edge_runtime.drill import MOST_S
from edge_runtime.plant.private_socket import listen_privately, read_request

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


class DrillDoor(Closing):
    """Takes requests in a thread of its own; a context manager.

    Args:
        socket_path: as `door_path` says.
        drilled: holds the drills.
    """

    def __init__(self, socket_path: Path, drilled: Drilled) -> None:
        self._path, self._drilled = socket_path, drilled
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="gasedge-drill-door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End a drill that is on, and the thread."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except ConfigError as error:  # a drill that cannot be asked for must not cost the frames
            _log.warning("no drills: %s", error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("no more drills")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        try:
            self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be made ({error.strerror})") from error
        async with listen_privately(self._path, self._asked):
            await self._stop.wait()

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
