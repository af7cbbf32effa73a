"""The gateway's end of the link: a private Unix socket, and what was last heard on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from contract.errors import InputError
from edge_runtime.alarms.tag_values import with_own_word
from edge_runtime.plant.freshness import Limits, hear, published
from edge_runtime.plant.messages import OVERLAY, Picture, decode_message
from edge_runtime.plant.private_socket import listen_privately, read_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from edge_runtime.alarms.tag_values import OwnWord
    from edge_runtime.plant.freshness import Heard, Published
    from edge_runtime.plant.messages import Sent

    Told = Callable[[Sent | Picture, bytes, bytes], None]

__all__ = ["Board", "receive"]

_log = logging.getLogger(__name__)


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
        self._picture_ns: dict[str, int] = {}
        self._warned: set[str] = set()
        self._listeners: list[Told] = []
        self.own_word: Callable[[str], OwnWord] | None = None  # the desk's word on a camera

    def show(self, camera: str) -> Published:
        """What may be published of a camera at this moment."""
        heard = self.heard(camera)
        return with_own_word(heard, self.own_word(camera)) if self.own_word else heard

    def heard(self, camera: str) -> Published:
        """The same without the desk's word: what its alarms are judged by."""
        return published(
            camera,
            self.cameras.index(camera) + 1,
            self._heard.get(camera),
            now_ns=self._clock_ns(),
            limits=self._limits,
        )

    def picture_ms(self, camera: str) -> tuple[int, int] | None:
        """When the newest picture came, ms of the monotonic clock, and how old it is, in ms."""
        came_ns = self._picture_ns.get(camera)
        if came_ns is None:
            return None
        return came_ns // 1_000_000, (self._clock_ns() - came_ns) // 1_000_000

    def listen(self, told: Told) -> Callable[[], None]:
        """Call `told` with every message taken, its header and its blob; the answer ends that."""
        self._listeners.append(told)
        return lambda: self._listeners.remove(told)

    def take(self, header: bytes, blob: bytes) -> None:
        """Take in one message.

        Raises:
            InputError: when it is damaged.
        """
        message = decode_message(header, blob)
        if self.accept(message):
            for told in tuple(self._listeners):
                told(message, header, blob)

    def accept(self, message: Sent | Picture) -> bool:
        """Take in what a message says; False when no such camera is configured."""
        camera = message.camera if isinstance(message, Picture) else message.snapshot.camera
        if camera not in self.cameras:
            if len(self._warned) < 100 and camera not in self._warned:
                self._warned.add(camera)
                _log.warning("plant link: camera %s is not configured; not published", camera)
            return False
        if isinstance(message, Picture):
            if message.view == OVERLAY:
                self.pictures[camera] = message
                self._picture_ns[camera] = self._clock_ns()
            return True
        # a sender's clock cannot run ahead of ours: they are the same clock
        sent_ns = min(message.sent_ns, self._clock_ns())
        self._heard[camera] = hear(
            self._heard.get(camera), message.snapshot, sent_ns=sent_ns, age_ns=message.age_ns
        )
        self.news.set()
        return True


@contextlib.asynccontextmanager
async def receive(board: Board, socket_path: Path) -> AsyncIterator[None]:
    """Listen on `socket_path` for processes of the same user that publish.

    Raises:
        ConfigError: when the socket's folder is open to others or the socket cannot be made.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        try:
            while True:
                board.take(*await read_message(reader))
        except InputError as error:
            _log.warning("plant link: connection closed: %s", error)

    async with listen_privately(socket_path, connected):
        yield
