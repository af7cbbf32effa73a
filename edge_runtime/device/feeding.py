"""When systemd's watchdog is fed: only while every process makes progress. Without a clock.

A process that lives and makes none starves the watchdog at once. One that is dead and will be
started again does not, for a while: its parent heals it, and the plant process goes on saying
*unknown* meanwhile, which an end of the whole service would interrupt. When that does not help for
`_REPAIR_S`, systemd starts everything anew.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Feeding", "Progress"]

_REPAIR_S = 900.0
_PER_LIMIT = 4  # feedings within the time that the watchdog waits


class Progress(Enum):
    """How one process did since the last feeding."""

    MADE = "serves"
    IN_REPAIR = "is started"
    NONE = "makes no progress"


class Feeding:
    """Decides about one watchdog. Times are seconds of the monotonic clock.

    Args:
        limit_s: how long the watchdog waits.
        now_s: when its time begins.
    """

    def __init__(self, limit_s: float, now_s: float) -> None:
        self._every_s = limit_s / _PER_LIMIT
        self._next_s = self._whole_s = now_s

    def is_due(self, now_s: float, progress: Iterable[Progress]) -> bool:
        """Whether to feed it now; who asks forgets the progress when it is.

        Args:
            now_s: the time.
            progress: of each process since the last feeding.
        """
        if now_s < self._next_s:
            return False
        seen = set(progress)
        if Progress.NONE in seen:
            return False
        if Progress.IN_REPAIR not in seen:
            self._whole_s = now_s
        elif now_s - self._whole_s > _REPAIR_S:
            return False
        self._next_s = now_s + self._every_s
        return True
