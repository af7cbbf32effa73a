"""A straight line through readings: its slope an hour, and what interval likely holds it. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Slope", "slope_of"]

_Z95 = 1.96
_BLOCKS = 20  # readings that follow each other are alike: only means of blocks are independent


@dataclass(frozen=True, slots=True)
class Slope:
    """Of one figure, an hour."""

    an_hour: float
    least: float  # of the 95 % interval
    most: float
    first: float  # mean of the first block
    last: float

    def __str__(self) -> str:
        return f"{self.an_hour:+.2f} ({self.least:+.2f} .. {self.most:+.2f})"

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def slope_of(at_s: Sequence[float], values: Sequence[float]) -> Slope:
    """Least squares over the means of twenty blocks of time; nan where there are too few readings.

    The interval is that of ordinary least squares with independent errors (Draper and Smith,
    "Applied Regression Analysis", ch. 1), which blocks come nearer to than single readings do.

    Args:
        at_s: when each was read, rising.
        values: what was read.
    """
    blocks = min(_BLOCKS, len(values))
    if blocks < 3:
        return Slope(*(math.nan,) * 5)
    x = np.array([part.mean() for part in np.array_split(np.asarray(at_s, float), blocks)]) / 3600
    y = np.array([part.mean() for part in np.array_split(np.asarray(values, float), blocks)])
    from_mean = x - x.mean()
    spread = float((from_mean**2).sum())
    an_hour = float((from_mean * y).sum()) / spread
    rest = y - y.mean() - an_hour * from_mean
    error = math.sqrt(float((rest**2).sum()) / (blocks - 2) / spread)
    half = _t95(blocks - 2) * error
    return Slope(an_hour, an_hour - half, an_hour + half, float(y[0]), float(y[-1]))


def _t95(freedom: int) -> float:
    """Student's t, 97.5th percentile, to a hundredth (Abramowitz and Stegun 26.7.5)."""
    z = _Z95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
