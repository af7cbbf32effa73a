"""bdSeq: which death belongs to which birth, over restarts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contract.private_file import write_private

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DeathNumber"]

_log = logging.getLogger(__name__)


class DeathNumber:
    """Counts 0 to 255 and round again, one for each connection.

    Args:
        path: file that holds the last one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = -1
        self._is_free = False
        try:
            self._last = int(path.read_text(encoding="ascii")) % 256
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning("%s: is no number (%s); counting from 0", path, error)

    def next(self) -> int:
        """The number of the connection that is about to be tried, written down before."""
        if self._is_free:
            self._is_free = False
            return self._last
        self._last = (self._last + 1) % 256
        try:
            write_private(self._path, b"%d\n" % self._last)
        except OSError as error:
            _log.warning("%s: cannot be written (%s)", self._path, error)
        return self._last

    def take_back(self) -> None:
        """Nobody was told the last number: the next connection has it."""
        self._is_free = True
