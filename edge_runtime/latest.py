"""A slot that holds the newest frame only: who comes late gets the present, never a queue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.frames import Frame

__all__ = ["LatestFrame"]


class LatestFrame:
    """Hands the newest frame from a reader thread to a worker thread.

    Args:
        arrived: set at each `put`; several slots may share one, so that a worker waits for all.
    """

    def __init__(self, arrived: threading.Event) -> None:
        self._arrived = arrived
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._dropped = 0

    def put(self, frame: Frame) -> None:
        """Store `frame`; one that nobody has taken is dropped and counted."""
        with self._changed:
            if self._frame is not None:
                self._dropped += 1
            self._frame = frame
        self._arrived.set()

    def take(self) -> Frame | None:
        """The newest frame that has not been taken yet, or None."""
        with self._changed:
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            return frame

    def wait_until_taken(self, timeout_s: float) -> bool:
        """Wait until the slot is empty; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._frame is None, timeout_s)

    @property
    def dropped(self) -> int:
        """Frames that were superseded before anybody took them."""
        return self._dropped
