"""From the counts of a 16-bit infrared picture to the 8 bits that a network is given.

Fixed counts, or a range that follows the scene: it widens within seconds, so that nothing hot or
cold stays clipped, narrows within minutes, so that a plume that comes and goes leaves it alone, and
is never narrower than a floor, so that noise is not blown up to a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AutoRange", "CountRange", "RangeMap", "grey_from_counts", "parse_range"]

_MOST = 65535
_OUTER = (0.5, 99.5)  # percentiles that the range must hold
_MARGIN = 0.1  # of their distance, kept free on either side
_LEAST_SPAN = 256.0  # counts: one grey level a count
_WIDEN_S = 2.0
_NARROW_S = 120.0
_SAMPLES = 16384


@dataclass(frozen=True, slots=True)
class CountRange:
    """Counts that become black and white."""

    low: float
    high: float


def parse_range(text: str) -> CountRange | None:
    """Read `LOW-HIGH` in counts, or `auto` for None.

    Raises:
        ValueError: for anything else.
    """
    if text == "auto":
        return None
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and int(low) < int(high) <= _MOST):
        raise ValueError(
            f"range is auto or LOW-HIGH in counts of 0..{_MOST}, as in 7000-9000, not {text!r}"
        )
    return CountRange(float(low), float(high))


def grey_from_counts(counts: NDArray[np.uint16], span: CountRange) -> NDArray[np.uint8]:
    """Map (h, w) counts linearly onto 0..255; what lies outside is clipped."""
    scale = 255.0 / (span.high - span.low)
    # a table of all counts: exact, and the same cost for any picture
    every = np.arange(_MOST + 1, dtype=np.float32)
    table = ((every - span.low) * scale + 0.5).clip(0, 255).astype(np.uint8)
    return np.asarray(table[counts], np.uint8)


class AutoRange:
    """The range that follows a scene slowly; pure, time comes in as an argument."""

    def __init__(self) -> None:
        self._span: CountRange | None = None
        self._at_s = 0.0

    def update(self, counts: NDArray[np.uint16], now_s: float) -> CountRange:
        """Take in (h, w) counts and return the range to map them with."""
        low, high = _wanted(counts)
        span = self._span
        if span is not None:
            passed_s = max(0.0, now_s - self._at_s)
            low = _follow(span.low, low, passed_s, widens=low < span.low)
            high = _follow(span.high, high, passed_s, widens=high > span.high)
        self._span, self._at_s = CountRange(low, high), now_s
        return self._span


def _wanted(counts: NDArray[np.uint16]) -> tuple[float, float]:
    # every n-th row and column; of a small picture each pixel
    step = max(1, round((counts.size / _SAMPLES) ** 0.5))
    low, high = (float(n) for n in np.percentile(counts[::step, ::step], _OUTER))
    span = max((high - low) * (1 + 2 * _MARGIN), _LEAST_SPAN)
    middle = (low + high) / 2
    return middle - span / 2, middle + span / 2


def _follow(now: float, wanted: float, passed_s: float, *, widens: bool) -> float:
    share = 1.0 - np.exp(-passed_s / (_WIDEN_S if widens else _NARROW_S))
    return float(now + share * (wanted - now))


class RangeMap:
    """Maps 16-bit pictures by what a source's `range` says, and leaves others as they are.

    Args:
        text: `LOW-HIGH`, `auto`, or None to leave 16-bit pictures alone, too.
    """

    def __init__(self, text: object) -> None:
        self._maps = text is not None
        self._fixed = parse_range(str(text)) if self._maps else None
        self._auto = AutoRange()

    def grey(self, pixels: NDArray[Any], now_s: float) -> NDArray[Any]:
        """(h, w) counts as uint8 grey; anything that has no counts as it is."""
        if not self._maps or pixels.dtype != np.uint16:
            return pixels
        return grey_from_counts(pixels, self._fixed or self._auto.update(pixels, now_s))
