"""Mean and spread of a score over seeds, and the 95 % interval of a mean of few."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_SEEDS", "Spread"]

# 97.5 % quantile of Student's t by degrees of freedom, from 1
_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930),
)
MOST_SEEDS = len(_T) + 1


@dataclass(frozen=True, slots=True)
class Spread:
    """A score of several seeds; NaN where there is none, as of a class that never occurs."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value and at most `MOST_SEEDS`."""
        return cls(tuple(values))

    @property
    def mean(self) -> float:
        """Mean of the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation between seeds; None of one seed or of no score."""
        if len(self.values) < 2 or math.isnan(self.mean):
            return None
        return statistics.stdev(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by Student's t; None of one seed or of no score."""
        if self.deviation is None:
            return None
        count = len(self.values)
        half = _T[count - 2] * self.deviation / math.sqrt(count)
        return self.mean - half, self.mean + half

    def text(self, digits: int = 4) -> str:
        """`0.8123 ± 0.0045`: mean and standard deviation; a dash where there is no score."""
        if math.isnan(self.mean):
            return "-"
        if self.deviation is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.deviation:.{digits}f}"

    def as_dict(self) -> dict[str, object]:
        """Plain data; None where there is no score."""
        if math.isnan(self.mean):
            return dict.fromkeys(("values", "mean", "standard_deviation", "interval_95"))
        return {
            "values": list(self.values),
            "mean": self.mean,
            "standard_deviation": self.deviation,
            "interval_95": None if self.interval is None else list(self.interval),
        }
