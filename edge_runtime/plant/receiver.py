"""The gateway's end of the link: a private Unix socket, and what was last heard on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError, InputError
from edge_runtime.plant.freshness import Limits, hear, published
from edge_runtime.plant.link import peer_uid
from edge_runtime.plant.messages import PREFIX_BYTES, Picture, decode_message, sizes_from_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from edge_runtime.plant.freshness import Heard, Published

__all__ = ["Board", "receive"]

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16


class Board:
    """The last word of every camera; what it shows depends on when it is asked.

    Args:
        cameras: their names; the first has unit id 1.
        limits: when values grow old.
        clock_ns: the monotonic clock; a replay brings its own.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        limits: Limits,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.cameras = tuple(cameras)  # the first has unit id 1
        self.news = asyncio.Event()
        self.pictures: dict[str, Picture] = {}
        self._limits = limits
        self._clock_ns = clock_ns
        self._heard: dict[str, Heard] = {}
        self._warned: set[str] = set()

    def show(self, camera: str) -> Published:
        """What may be published of a camera at this moment."""
        return published(
            camera,
            self.cameras.index(camera) + 1,
            self._heard.get(camera),
            now_ns=self._clock_ns(),
            limits=self._limits,
        )

    def take(self, header: bytes, blob: bytes) -> None:
        """Take in one message.

        Raises:
            InputError: when it is damaged.
        """
        message = decode_message(header, blob)
        camera = message.camera if isinstance(message, Picture) else message.snapshot.camera
        if camera not in self.cameras:
            if len(self._warned) < 100 and camera not in self._warned:
                self._warned.add(camera)
                _log.warning("plant link: camera %s is not configured; not published", camera)
            return
        if isinstance(message, Picture):
            self.pictures[camera] = message
            return
        # a sender's clock cannot run ahead of ours: they are the same clock
        sent_ns = min(message.sent_ns, self._clock_ns())
        self._heard[camera] = hear(
            self._heard.get(camera), message.snapshot, sent_ns=sent_ns, age_ns=message.age_ns
        )
        self.news.set()


@contextlib.asynccontextmanager
async def receive(board: Board, socket_path: Path) -> AsyncIterator[None]:
    """Listen on `socket_path` for processes of the same user.

    Raises:
        ConfigError: when the socket's folder is open to others or the socket cannot be made.
    """
    connections: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid != os.getuid() or len(connections) >= _MAX_CONNECTIONS:
            _log.warning("plant link: a process of user %d was turned away", uid)
            writer.transport.abort()
            return
        connections.add(writer)
        try:
            while True:
                header, blob = sizes_from_prefix(await reader.readexactly(PREFIX_BYTES))
                board.take(await reader.readexactly(header), await reader.readexactly(blob))
        except InputError as error:
            _log.warning("plant link: connection closed: %s", error)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            connections.discard(writer)
            writer.transport.abort()

    _prepare(socket_path)
    umask = os.umask(0o177)  # the socket is never open to others, not even for a moment
    try:
        server = await asyncio.start_unix_server(connected, path=str(socket_path))
    except OSError as error:
        raise ConfigError(f"{socket_path}: no socket can be made there ({error})") from error
    finally:
        os.umask(umask)
    try:
        yield
    finally:
        server.close()
        for writer in tuple(connections):
            writer.transport.abort()
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - one quick call at the end


def _prepare(socket_path: Path) -> None:
    """Make a private folder for the socket, and remove a socket that a killed gateway left."""
    folder = socket_path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat()
        if mode.st_uid != os.getuid() or mode.st_mode & 0o077:
            raise ConfigError(
                f"{folder}: others may enter this folder (mode {stat.filemode(mode.st_mode)}); "
                f"give the plant link a folder of its own with mode 0700"
            )
        if socket_path.is_socket():
            socket_path.unlink()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot hold the plant link ({error})") from error
