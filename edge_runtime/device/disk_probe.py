"""Whether a disk answers, asked by a thread that may hang in our place; how much room it has."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DiskProbe", "DiskWord"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DiskWord:
    """What a disk said."""

    answers: bool
    free_bytes: int | None  # None where nobody could say


class DiskProbe:
    """Asks the disk of one folder; a refusal is an answer, too, and told by who writes there.

    Args:
        folder: need not be there yet.
        ask: writes and syncs something, and gives the free bytes.
    """

    def __init__(self, folder: Path, ask: Callable[[Path], int | None] | None = None) -> None:
        self.folder = folder
        self._ask = ask or _ask
        self._thread: threading.Thread | None = None
        self._free_bytes: int | None = None

    def word(self, within_s: float) -> DiskWord:
        """Ask, unless an earlier question still waits for its answer."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="disk-probe", daemon=True)
            self._thread.start()
        self._thread.join(within_s)
        answers = not self._thread.is_alive()
        return DiskWord(answers, self._free_bytes if answers else None)

    def _run(self) -> None:
        try:
            self._free_bytes = self._ask(self.folder)
        except Exception:  # noqa: BLE001 - whatever it is, the disk has answered
            _log.debug("%s could not be asked", self.folder, exc_info=True)
            self._free_bytes = None


def _ask(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"does the disk answer?")
        file.flush()
        os.fsync(file.fileno())
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
