"""Which model serves the next frame, and how one takes over from another between two frames."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edge_runtime.model import RunningModel

__all__ = ["Succession"]


@dataclass(frozen=True, slots=True)
class _Successor:
    model: RunningModel
    is_taken: threading.Event = field(default_factory=threading.Event)


class Succession(Closing):
    """Holds the model that serves, one that waits to take over, and those whose end is under way.

    Any thread may offer a model; all else is the worker's.
    """

    def __init__(self) -> None:
        self.model: RunningModel | None = None
        self._lock = threading.Lock()
        self._successor: _Successor | None = None
        self._retired: list[RunningModel] = []  # their last frames are under way
        self._closing: list[threading.Thread] = []

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to do."""
        return self._successor is not None or bool(self._retired)

    def offer(self, model: RunningModel, *, wait_s: float, wake: Callable[[], None]) -> bool:
        """Let `model` take over, and wait until it has.

        Args:
            model: belongs to the succession once it is taken.
            wait_s: for the worker.
            wake: the worker.

        Returns:
            Whether it was taken; if not, the caller still has it.
        """
        successor = _Successor(model)
        with self._lock:
            self._successor = successor
        wake()
        if successor.is_taken.wait(wait_s):
            return True
        with self._lock:
            if not successor.is_taken.is_set():
                self._successor = None
        return successor.is_taken.is_set()

    def take(self) -> RunningModel | None:
        """The model that waits, if one does: it serves from now on."""
        with self._lock:
            successor, self._successor = self._successor, None
            if successor is None:
                return None
            successor.is_taken.set()
        if self.model is not None:
            self._retired.append(self.model)
        self.model = successor.model
        return successor.model

    def release(self, busy: Collection[RunningModel]) -> None:
        """Close every model before, beside the frames, but those in `busy`."""
        for old in self._retired[:]:
            if not any(each is old for each in busy):
                self._retired.remove(old)
                self.close_beside(old.close)

    def close_beside(self, close: Callable[[], None]) -> None:
        """Close something that takes its time, and wait for it in `close` only."""
        thread = threading.Thread(target=close, name="gasedge-retired", daemon=True)
        thread.start()
        self._closing.append(thread)

    def close(self) -> None:
        """Close every model."""
        for thread in self._closing:
            thread.join()
        self.take()  # nobody will serve it any more, but it is ours
        for model in (*self._retired, self.model):
            if model is not None:
                model.close()
