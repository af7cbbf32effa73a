"""An RTSP camera of our own whose pictures can be spoiled while it streams."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo_line import free_port

from contract.closing import Closing
from contract.errors import GasedgeError

from .pictures import HEIGHT, WIDTH, picture_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["CameraStream", "why_no_stream"]

SERVER = Path(__file__).resolve().parents[2] / "tests" / "edge_runtime" / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's GStreamer bindings are for
FPS = 10


def why_no_stream() -> str:
    """Why there can be no such camera here, or "" where there can."""
    looks = "import gi; gi.require_version('GstRtspServer', '1.0')"
    with contextlib.suppress(OSError):
        done = subprocess.run([SYSTEM_PYTHON, "-c", looks], capture_output=True, check=False)
        if done.returncode == 0:
            return ""
    return "needs GStreamer's RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0"


class CameraStream(Closing):
    """Serves a quiet simulated scene; a context manager.

    Args:
        folder: for its log.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "stream.log"
        self._port = free_port()
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.spoil: Callable[[int, NDArray[np.uint8]], NDArray[np.uint8] | None] | None = None
        self._thread = threading.Thread(target=self._run, name="faults-stream", daemon=True)

    def __enter__(self) -> Self:
        self.connect()
        self._thread.start()
        return self

    def close(self) -> None:
        """End the stream."""
        self._end.set()
        self.cut()  # a server that takes nothing would keep the thread
        self._thread.join()

    @property
    def source(self) -> str:
        """What the daemon reads."""
        return f"rtsp://127.0.0.1:{self._port}/live"

    @property
    def size(self) -> str:
        """Of its pictures, as the configuration says it."""
        return f"{WIDTH}x{HEIGHT}"

    @property
    def pid(self) -> int:
        """Process id of the server."""
        if self._process is None:
            raise GasedgeError("the stream is cut")
        return self._process.pid

    def connect(self) -> None:
        """Begin to serve."""
        if why := why_no_stream():
            raise GasedgeError(why)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [SYSTEM_PYTHON, str(SERVER), "--pictures", str(self._port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        if process.stdout is None or not process.stdout.readline():
            raise GasedgeError(f"the RTSP server does not start; see {self._log}")
        with self._lock:
            self._process = process

    def cut(self) -> None:
        """Serve no longer, as a camera without power."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _run(self) -> None:
        number, due_s = 0, time.monotonic()
        while not self._end.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + 1 / FPS, time.monotonic() - 1.0)
            picture: NDArray[np.uint8] | None = picture_of(number)
            spoil = self.spoil
            if spoil is not None and picture is not None:
                picture = spoil(number, picture)
            number += 1
            if picture is not None:
                self._send(picture)

    def _send(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        with self._lock:
            process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it is being cut
            process.stdin.write(struct.pack(">HH", width, height) + picture.tobytes())
            process.stdin.flush()
