"""Read a video file frame by frame for scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.closing import Closing
from contract.errors import InputError
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["VideoFile"]


class VideoFile(Closing):
    """An opened video.

    Args:
        path: of the file.

    Raises:
        InputError: when it is not there or is no video.
    """

    def __init__(self, path: Path) -> None:
        cv2 = need("cv2", extra="cpu")
        if not path.is_file():
            raise InputError(f"{path}: is not a file")
        self._path, self._cv2 = path, cv2
        self._video = cv2.VideoCapture(str(path))
        if not self._video.isOpened():
            raise InputError(f"{path}: cannot be opened as a video")

    @property
    def fps(self) -> float:
        """Frames a second as the file says.

        Raises:
            InputError: when it does not say.
        """
        rate = float(self._video.get(self._cv2.CAP_PROP_FPS))
        if not 0 < rate < 1e4:
            raise InputError(f"{self._path}: says {rate} frames a second; give --fps")
        return rate

    def frames(self, every: int = 1) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Give (number, (h, w, 3) BGR) of every so many-th frame from the first, to the end.

        Raises:
            InputError: when not one frame can be decoded.
        """
        number = 0
        while self._video.grab():
            if number % every == 0:
                there, picture = self._video.retrieve()
                if not there:
                    break
                yield number, np.asarray(picture, np.uint8)
            number += 1
        if number == 0:
            raise InputError(f"{self._path}: holds no frame that can be decoded")

    def close(self) -> None:
        """Let the file go."""
        self._video.release()
