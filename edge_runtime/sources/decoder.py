"""Our side of a decoder process: start it, read its frames with a time limit, kill it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np

from contract.closing import Closing
from contract.errors import InputError
from edge_runtime.child_process import end_group, python_command
from edge_runtime.pixels import Layout, NativePicture
from edge_runtime.sources.wire import HEADER_BYTES, Header, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_runtime.pixels import CameraPicture
    from edge_runtime.sources.uri import SourceUri

__all__ = ["Decoder", "SourceEndedError"]

_PIPE_BYTES = 1 << 20  # fewer, larger reads
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ, named from Python 3.10 on
_SLICE_MS = 100  # how late a stop request may be seen


class SourceEndedError(InputError):
    """A file or folder came to its end, or broke off for good."""


class Decoder(Closing):
    """A running decoder process of one source.

    Args:
        uri: the source.
        stopped: whether to give up.
        note: told what the decoder notes on the way.
        native: take grey and NV12 pictures as they come; else all are BGR.

    Raises:
        InputError: from `read`, when the source fails, stays silent or its process dies.
        SourceEndedError: from `read`, when the source came to its end.
    """

    def __init__(
        self,
        uri: SourceUri,
        stopped: Callable[[], bool],
        note: Callable[[str], None] | None = None,
        *,
        native: bool = False,
    ) -> None:
        self._uri = uri
        self._note = note
        self._stopped = stopped
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            python_command("edge_runtime.sources.decode"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries print whole URIs there, passwords included
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise InputError(f"{uri}: the decoder has no pipe")
        given = {
            "scheme": uri.scheme,
            "target": uri.target,
            "options": uri.options,
            "native": native,
        }
        self._go = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died at once: the first read says so
            self._go.write(json.dumps(given).encode() + b"\n")
            self._go.flush()
        self._pipe = self._process.stdout.fileno()
        with contextlib.suppress(OSError):  # above the user's limit: the default works too
            fcntl.fcntl(self._pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    @property
    def pid(self) -> int:
        """Process id of the decoder."""
        return self._process.pid

    def read(self, timeout_s: float) -> tuple[Header, CameraPicture] | None:
        """The next picture with its header; None when a stop was asked for meanwhile.

        What the decoder notes on the way is handed to `note`. A replay begins with the first call;
        until then its process waits, all imports done.
        """
        with contextlib.suppress(BrokenPipeError):
            self._go.close()
        deadline = time.monotonic() + timeout_s
        while True:
            read = self._message(deadline)
            if read is None or not isinstance(read, str):
                return read
            if self._note is not None:
                self._note(read)

    def _message(self, deadline: float) -> tuple[Header, CameraPicture] | str | None:
        head = np.empty(HEADER_BYTES, np.uint8)
        if not self._fill(head, deadline):
            return None
        try:
            header = Header.unpack(head.tobytes())
        except ValueError as error:
            raise InputError(f"{self._uri}: {error}") from error
        if header.kind is Kind.FRAME:
            picture = np.empty((header.height, header.width, 3), np.uint8)
            return (header, picture) if self._fill(picture, deadline) else None
        if header.kind in (Kind.GREY_FRAME, Kind.NV12_FRAME):
            layout = Layout.GREY if header.kind is Kind.GREY_FRAME else Layout.NV12
            pixels = np.empty((header.length // header.width, header.width), np.uint8)
            whole = self._fill(pixels, deadline)
            return (header, NativePicture(pixels, layout)) if whole else None
        text = np.empty(header.length, np.uint8)
        if not self._fill(text, deadline):
            return None
        message = text.tobytes().decode(errors="replace")
        if header.kind is Kind.NOTE:
            return message
        raise (SourceEndedError if header.kind is Kind.ENDED else InputError)(message)

    def close(self) -> None:
        """Kill the decoder with all that it started; a second call does nothing."""
        end_group(self._process)

    def _fill(self, array: NDArray[np.uint8], deadline: float) -> bool:
        left = array.reshape(-1).data
        while left:
            if self._stopped():
                return False
            if time.monotonic() > deadline:
                raise InputError(f"{self._uri}: sent no picture in time; its decoder is killed")
            if not self._poll.poll(_SLICE_MS):
                continue
            got = os.readv(self._pipe, [left])
            if not got:
                raise InputError(f"{self._uri}: its decoder died (exit {self._process.wait()})")
            left = left[got:]
        return True
