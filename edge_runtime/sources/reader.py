"""One camera's reader: a thread that keeps a decoder process alive and its newest frame at hand."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import InputError
from edge_runtime.device.memory import resident_bytes
from edge_runtime.frames import Frame
from edge_runtime.reconnect import back_off_s
from edge_runtime.sources.decoder import Decoder, SourceEndedError

if TYPE_CHECKING:
    from typing_extensions import Self

    from edge_runtime.latest import LatestFrame
    from edge_runtime.sources.uri import SourceUri

__all__ = ["CameraReader", "Phase", "ReaderStatus"]

_log = logging.getLogger(__name__)

_LOOK_S = 0.1  # how late a stop may be seen
_HUNG_S = 90.0  # longer than a wait for any camera that is not itself slower
_WEIGH_S = 5.0  # between two looks at a decoder's memory
_DECODER_BYTES = 1 << 30  # many times what decoding one camera takes
_STEADY_S = 10.0  # a connection that held so long was a good one
_FLAPPING_S = 5.0  # at most between two attempts on a camera that does give pictures


class Phase(Enum):
    """Where a reader stands."""

    CONNECTING = "connecting"
    READING = "reading"
    WAITING = "waiting to reconnect"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """What a reader last did; replaced as a whole, so any thread may look."""

    phase: Phase = Phase.CONNECTING
    detail: str = ""
    captured: int = 0  # frames since start
    failures: int = 0  # in a row, without a frame between
    decoder_pid: int = 0


class CameraReader(Closing):
    """Reads `uri` into `slot` until closed; a source that fails is tried again for ever.

    Args:
        camera: name of the camera.
        uri: its source.
        slot: where the newest frame goes.
        may_begin: a replay is made ready, but begins only when this is set; None begins at once.
        native: take grey and NV12 pictures as they come; else all are BGR.
        connect_timeout_s: how long a decoder may take to give its first picture.
        frame_timeout_s: how long a picture may take after that before the decoder is killed.
    """

    def __init__(
        self,
        camera: str,
        uri: SourceUri,
        slot: LatestFrame,
        *,
        may_begin: threading.Event | None = None,
        native: bool = False,
        connect_timeout_s: float = 10.0,
        frame_timeout_s: float = 2.0,
    ) -> None:
        self._camera = camera
        self._uri = uri
        self._slot = slot
        self._may_begin = may_begin
        self._native = native
        slow_s = 3 / uri.fps if uri.fps else 0.0
        self._connect_timeout_s = max(connect_timeout_s, slow_s)
        self._frame_timeout_s = max(frame_timeout_s, slow_s)
        self._hung_s = max(_HUNG_S, 2 * self._connect_timeout_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"gasedge-reader-{camera}", daemon=True
        )
        self._noted: set[str] = set()
        self._attempts = 0  # since a connection held
        self._turned_s: float | None = None  # when the thread last came round
        self.status = ReaderStatus()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def is_hung(self, now_s: float) -> bool:
        """Whether the thread that reads has not come round for far too long, or has died."""
        if self._turned_s is None or self.status.phase is Phase.ENDED or self._stop.is_set():
            return False
        return now_s - self._turned_s > self._hung_s or not self._thread.is_alive()

    def close(self) -> None:
        """Stop reading and end the decoder; a second call does nothing."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def _run(self) -> None:
        while not self._stop.is_set():
            self._turned_s = time.monotonic()
            self._became(Phase.CONNECTING, self.status.detail)
            try:
                with Decoder(
                    self._uri, self._stop.is_set, self._note, native=self._native
                ) as decoder:
                    self.status = replace(self.status, decoder_pid=decoder.pid)
                    while self._may_begin is not None and not self._may_begin.wait(_LOOK_S):
                        self._turned_s = time.monotonic()
                        if self._stop.is_set():
                            return
                    self._read(decoder)
            except SourceEndedError as ended:
                _log.warning("camera %s: %s", self._camera, ended)
                self._became(Phase.ENDED, str(ended))
                return
            except (InputError, OSError) as error:
                self._wait(str(error))
            except Exception as error:  # noqa: BLE001 - see below
                # a reader that died would leave its camera blind until somebody came
                _log.exception("camera %s: reader failed", self._camera)
                self._wait(f"{self._uri}: reader failed ({type(error).__name__})")

    def _read(self, decoder: Decoder) -> None:
        is_seen, timeout_s = False, self._connect_timeout_s
        begun_s = weighed_s = time.monotonic()
        while not self._stop.is_set():
            read = decoder.read(timeout_s)
            self._turned_s = time.monotonic()
            if read is None:
                return
            header, picture = read
            if self._turned_s - begun_s > _STEADY_S:
                self._attempts = 0  # one picture alone proves nothing
            if self._turned_s - weighed_s > _WEIGH_S:
                weighed_s = self._turned_s
                self._weigh(decoder)
            if not is_seen:
                is_seen, timeout_s = True, self._frame_timeout_s
                _log.info(
                    "camera %s: %s gives %dx%d",
                    self._camera,
                    self._uri,
                    header.width,
                    header.height,
                )
            while self._uri.every and not self._slot.wait_until_taken(_LOOK_S):
                self._turned_s = time.monotonic()
                if self._stop.is_set():
                    return
            captured = self.status.captured + 1
            # first: whoever takes the frame may ask how many there were
            self.status = replace(
                self.status, phase=Phase.READING, detail="", captured=captured, failures=0
            )
            taken_ns = header.captured_ns, header.monotonic_ns
            if self._uri.every:  # it waited for the worker, so it is as new as it can be
                taken_ns = time.time_ns(), time.monotonic_ns()
            self._slot.put(Frame(self._camera, captured, *taken_ns, picture))

    def _weigh(self, decoder: Decoder) -> None:
        """Begin anew where a library has leaked for weeks."""
        held = resident_bytes(decoder.pid) or 0
        if held > _DECODER_BYTES:
            raise InputError(
                f"{self._uri}: its decoder holds {held >> 20} MiB of memory, more than "
                f"{_DECODER_BYTES >> 20}, and is started anew"
            )

    def _note(self, text: str) -> None:
        if text not in self._noted:  # not again with every attempt
            self._noted.add(text)
            _log.info("camera %s: %s", self._camera, text)

    def _wait(self, detail: str) -> None:
        failures = self.status.failures + 1
        self._attempts += 1
        cap_s = _FLAPPING_S if failures == 1 and self.status.captured else 30.0
        delay_s = back_off_s(self._attempts, random.random(), cap_s=cap_s)
        self._turned_s = time.monotonic()
        _log.warning("camera %s: %s; next attempt in %.1f s", self._camera, detail, delay_s)
        self.status = replace(
            self.status, phase=Phase.WAITING, detail=detail, failures=failures, decoder_pid=0
        )
        self._stop.wait(delay_s)

    def _became(self, phase: Phase, detail: str = "") -> None:
        self.status = replace(self.status, phase=phase, detail=detail, decoder_pid=0)
