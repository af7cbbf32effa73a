"""A private socket at which the frames process is asked for things, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import ConfigError
from edge_runtime.plant.private_socket import listen_privately

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Door"]

_log = logging.getLogger(__name__)


class Door(Closing):
    """Open until it is closed; a context manager. A door that fails costs no frame.

    Args:
        path: the socket, in a folder that nobody else may enter.
        name: of the thread.
        lost: what cannot be asked for without it, for the log.
    """

    def __init__(self, path: Path, *, name: str, lost: str) -> None:
        self._path, self._lost = path, lost
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, once what is under way is done."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    @abstractmethod
    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one who knocks."""

    async def _while_open(self) -> None:
        """What is done beside that; the door closes when this ends."""
        await self._stop.wait()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except ConfigError as error:
            _log.error("%s: %s", self._lost, error)
        except Exception:  # noqa: BLE001 - whatever it is, the frames go on
            _log.exception("%s", self._lost)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        try:
            self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be made ({error.strerror})") from error
        async with listen_privately(self._path, self._asked):
            await self._while_open()
