"""Hands single frames of the running pipeline to whoever asks, and never makes it wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from contract.geometry import FrameFit
    from edge_runtime.frames import Frame

    Segmented = tuple[Frame, NDArray[np.uint8], FrameFit]

__all__ = ["FrameTap"]


class FrameTap:
    """Keeps the newest frame of each camera with its mask; gives cameras in turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: dict[str, Segmented] = {}
        self._given: dict[str, int] = {}

    def __call__(self, frame: Frame, mask: NDArray[np.uint8], fit: FrameFit) -> None:
        """Take in a frame; for the pipeline's worker.

        Args:
            frame: as it was taken.
            mask: (H, W) class indices of the running model.
            fit: where the picture stands in it.
        """
        with self._changed:
            self._newest[frame.camera] = (frame, mask, fit)
            self._changed.notify()

    def next(self, wait_s: float) -> Segmented | None:
        """The newest frame of the camera that was given least; each frame once.

        Args:
            wait_s: for one to come; None is returned if none does.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._newest, wait_s):
                return None
            camera = min(self._newest, key=lambda name: self._given.get(name, 0))
            self._given[camera] = self._given.get(camera, 0) + 1
            return self._newest.pop(camera)
