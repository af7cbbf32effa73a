"""The views that cameras have learned, kept for the next frames process.

A camera that is knocked aside just as that process starts again would otherwise teach the new one
its new view. Whoever turns a camera on purpose restarts the daemon: its folder goes with it.
"""

from __future__ import annotations

import io
import logging
import threading
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from contract.atomic import write_bytes
from contract.closing import Closing
from contract.errors import GasedgeError, IntegrityError
from edge_runtime.view_watch import LearnedView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["KEEP_S", "ViewMemory", "keep_view", "kept_view"]

_log = logging.getLogger(__name__)

KEEP_S = 5.0
"""Seconds between two writings."""


_BROKEN = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def kept_view(path: Path) -> LearnedView | None:
    """A view that was written down; None where none was.

    Raises:
        IntegrityError: when something stands there that cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            return LearnedView(kept["view"], kept["layout"])
    except FileNotFoundError:
        return None
    except _BROKEN as error:
        raise IntegrityError(f"{path}: this view cannot be recalled ({error})") from error


def keep_view(path: Path, view: LearnedView) -> None:
    """Write a view down.

    Raises:
        GasedgeError: when the disk refuses.
        OSError: as GasedgeError.
    """
    packed = io.BytesIO()
    np.savez(packed, view=view.structure, layout=view.layout)
    write_bytes(path, packed.getvalue())


class ViewMemory(Closing):
    """Writes each camera's view down every few seconds; a context manager with one thread.

    The thread is its own: a disk that hangs holds up nobody who tells the plant what is seen.

    Args:
        folder: of this daemon alone.
        learned: asked for the view of each camera, None where none is learned.
        every_s: seconds between two writings.
    """

    def __init__(
        self,
        folder: Path,
        learned: Mapping[str, Callable[[], LearnedView | None]],
        *,
        every_s: float = KEEP_S,
    ) -> None:
        self._folder = folder
        self._learned = learned
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gasedge-views", daemon=True)

    def recall(self, camera: str) -> LearnedView | None:
        """The view that a process before this one learned; None without one that can be read."""
        try:
            return kept_view(self._path(camera))
        except IntegrityError as error:
            _log.warning("%s", error)
            return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop writing; a disk that hangs is not waited for."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join(self._every_s)

    def _path(self, camera: str) -> Path:
        return self._folder / f"view-{camera}.npz"

    def _run(self) -> None:
        while not self._done.wait(self._every_s):
            for camera, learned in self._learned.items():
                if (view := learned()) is None:
                    continue
                try:
                    keep_view(self._path(camera), view)
                except (GasedgeError, OSError) as error:
                    _log.warning("camera %s: its view is not kept: %s", camera, error)
