"""The frames process' end of the link to the plant: hands over and never waits.

A stopped, stalled or missing gateway costs the frame path a dictionary entry. What could not be
sent in time is superseded by what is newer, and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import struct
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from contract.closing import Closing
from edge_runtime.plant.messages import RAW, encode_picture, encode_snapshot
from edge_runtime.reconnect import back_off_s

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

    from contract.tags import CameraSnapshot

__all__ = ["PlantLink", "peer_uid"]

_log = logging.getLogger(__name__)

_SEND_S = 1.0  # a gateway that takes nothing for so long is connected anew
_CREDENTIALS = struct.Struct("3i")


def peer_uid(connection: socket.socket) -> int:
    """User id of the process at the other end of a Unix socket, as the kernel says."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(packed)[1])


class PlantLink(Closing):
    """Hands snapshots and pictures to the gateway's Unix socket, newest first in line.

    A context manager with one thread. Each camera has one place for a snapshot and one for a
    picture: newer replaces what was not yet sent.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._waiting: dict[tuple[str, str], Callable[[], bytes]] = {}
        self._news = threading.Condition()
        self._closed = False
        self._superseded = 0
        self._connected = False
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name="gasedge-plant-link", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def superseded(self) -> int:
        """Snapshots and pictures that were replaced or lost before the gateway took them."""
        return self._superseded

    @property
    def connected(self) -> bool:
        """Whether a gateway is at the other end."""
        return self._connected

    def publish(self, snapshot: CameraSnapshot) -> None:
        """Hand over a camera's values; returns at once, whatever the gateway does."""
        snapshot = replace(snapshot, values=dict(snapshot.values))
        sent_ns = time.monotonic_ns()
        age_ns = time.time_ns() - snapshot.source_time_ns
        self._put(
            ("snapshot", snapshot.camera),
            lambda: encode_snapshot(snapshot, sent_ns=sent_ns, age_ns=age_ns),
        )

    def show(self, camera: str, jpeg: bytes, captured_ns: int) -> None:
        """Hand over a camera's overlay picture; returns at once, whatever the gateway does."""
        self._put(("picture", camera), lambda: encode_picture(camera, jpeg, captured_ns))

    def show_raw(self, camera: str, jpeg: Callable[[], bytes], captured_ns: int) -> None:
        """Hand over the picture behind an overlay; `jpeg` is called in the link's thread."""
        self._put(("raw", camera), lambda: encode_picture(camera, jpeg(), captured_ns, RAW))

    def close(self) -> None:
        """Stop the thread; closing twice is harmless."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _put(self, place: tuple[str, str], encode: Callable[[], bytes]) -> None:
        with self._news:
            if place in self._waiting:
                self._superseded += 1
            self._waiting[place] = encode
            self._news.notify()

    def _take(self) -> Callable[[], bytes] | None:
        """Wait for the next thing to send; None when the link closes."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            # snapshots before pictures: the leak state is what the plant waits for
            place = min(self._waiting, key=lambda key: key[0] != "snapshot")
            return self._waiting.pop(place)

    def _run(self) -> None:
        failures = 0
        while not self._closed:
            try:
                with self._connect() as connection:
                    if failures:
                        _log.info("plant link: connected to %s", self._path)
                    failures = 0
                    self._connected = True
                    self._send_until_closed(connection)
            except OSError as error:
                if not failures:
                    _log.warning("plant link: no gateway at %s (%s); trying on", self._path, error)
                failures += 1
            finally:
                self._connected = False
            wait_s = back_off_s(max(failures, 1), random.random(), base_s=0.1, cap_s=1.0)
            with self._news:
                self._news.wait_for(lambda: self._closed, timeout=wait_s)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_SEND_S)
            connection.connect(str(self._path))
            uid = peer_uid(connection)
        except BaseException:
            connection.close()
            raise
        if uid != os.getuid():
            connection.close()
            raise PermissionError(f"user {uid} listens there, not user {os.getuid()}")
        return connection

    def _send_until_closed(self, connection: socket.socket) -> None:
        while (encode := self._take()) is not None:
            try:
                message = encode()
            except Exception as error:  # noqa: BLE001 - a faulty value must not end the link
                self._superseded += 1
                if str(error) != self._fault:
                    self._fault = str(error)
                    _log.error("plant link: not sent, the plant sees bad quality: %s", error)
                continue
            try:
                connection.sendall(message)
            except OSError:
                self._superseded += 1
                raise
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
