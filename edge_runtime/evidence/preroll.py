"""The last seconds of a camera, kept in memory until a leak makes them evidence."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Moment", "Preroll"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that was seen: a picture, or values with a mask."""

    at_s: float  # monotonic, when it arrived
    captured_ns: int  # UTC, of the frame behind it
    view: str | None  # of a picture; None for values
    blob: bytes  # a JPEG, or a GEM1 mask
    values: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.blob) + (4096 if self.values is not None else 256)


class Preroll:
    """A ring of moments, bounded by age and by bytes.

    Args:
        seconds: how far back it reaches.
        max_bytes: beyond it the oldest moments go, however young.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._bytes = 0
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> None:
        """Take in a moment; what became too old goes."""
        self._moments.append(moment)
        self._bytes += moment.size
        oldest_s = moment.at_s - self._seconds
        while self._moments and (self._moments[0].at_s < oldest_s or self._bytes > self._max_bytes):
            self._bytes -= self._moments.popleft().size

    def take(self) -> Iterator[Moment]:
        """All moments, oldest first; the ring is empty afterwards."""
        while self._moments:
            moment = self._moments.popleft()
            self._bytes -= moment.size
            yield moment
