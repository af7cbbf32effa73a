"""The overlay as a video file: whole or not there, and playing at the speed things happened."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from contract.atomic import new_file
from contract.closing import Closing
from contract.errors import ConfigError, GasedgeError
from contract.packages import need

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["VIDEO_SUFFIXES", "OverlayVideo"]

VIDEO_SUFFIXES = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG"}
_LONGEST_GAP_S = 1.0


class OverlayVideo(Closing):
    """Writes pictures to `path`; the file appears when the video is closed.

    Args:
        path: .mp4, .webm (which browsers play) or .avi.
        fps: pictures a second of the file.

    Raises:
        ConfigError: for another suffix.
    """

    def __init__(self, path: Path, fps: float = 10.0) -> None:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ConfigError(f"{path}: a video's name ends in {', '.join(VIDEO_SUFFIXES)}")
        self._path = path
        self._fps = fps
        self._file = contextlib.ExitStack()
        self._writer: Any = None
        self._size = (0, 0)
        self._start_s: float | None = None
        self._written = 0

    def write(self, picture: NDArray[np.uint8], at_s: float | None = None) -> None:
        """Add a (h, w, 3) BGR picture.

        Args:
            picture: one of another size than the first is scaled to it.
            at_s: when it was taken; it is shown as long as it lasted. None: as the next picture.
        """
        cv2 = need("cv2", extra="cpu")
        if self._writer is None:
            self._open(picture)
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size)
        repeats = 1 if at_s is None else self._due(at_s) - self._written
        for _ in range(repeats):
            self._writer.write(picture)
        self._written += max(0, repeats)

    def close(self) -> None:
        """Finish the file; a second call does nothing."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._file.close()

    def _due(self, at_s: float) -> int:
        """How many pictures the file must hold at `at_s`."""
        if self._start_s is None:
            self._start_s = at_s
        # a gap is cut short: a picture that is held for long would look like the present
        end_s = self._start_s + self._written / self._fps
        self._start_s += max(0.0, at_s - end_s - _LONGEST_GAP_S)
        return int((at_s - self._start_s) * self._fps + 1e-3) + 1

    def _open(self, picture: NDArray[np.uint8]) -> None:
        cv2 = need("cv2", extra="cpu")
        # encoders want even sides
        self._size = max(2, picture.shape[1] & ~1), max(2, picture.shape[0] & ~1)
        partial = self._file.enter_context(new_file(self._path))
        code = cv2.VideoWriter_fourcc(*VIDEO_SUFFIXES[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(partial), code, self._fps, self._size)
        if not writer.isOpened():
            raise GasedgeError(f"{self._path}: OpenCV here cannot write such a video; try .avi")
        self._writer = writer
