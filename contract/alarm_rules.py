"""From the gas share of each frame of a clip to alarms, by rules that a table can state.

They stand for the daemon's vote without its hysteresis, score threshold and delays, so that clips
of a few seconds can be judged, and rules be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.plume_scores import PRESENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["RULES", "AlarmRule", "alarms", "area_under_roc", "rising_edges"]


class AlarmRule(BaseModel):
    """Alarm while at least `votes` of the last `window` frames show gas on `area` or more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    votes: int
    window: int
    area: float  # gas share of the picture

    def __str__(self) -> str:
        return f"{self.votes} of {self.window} frames with gas on {self.area:g} or more"


RULES = tuple(
    AlarmRule(votes=votes, window=window, area=area)
    for area in (PRESENT, 10 * PRESENT)
    for votes, window in ((1, 1), (3, 5), (8, 15))  # the last is the daemon's default
)


def alarms(shares: Sequence[float] | NDArray[np.float64], rule: AlarmRule) -> NDArray[np.bool_]:
    """Whether the alarm stands at each frame, (n,) bool, from the gas share of each, (n,)."""
    gas = np.concatenate([[0], np.cumsum(np.asarray(shares) >= rule.area)])
    last = np.arange(1, len(gas))
    return np.asarray(gas[last] - gas[np.maximum(0, last - rule.window)] >= rule.votes)


def rising_edges(standing: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Frames at which an alarm begins; one that stands at the first frame begins there."""
    return np.flatnonzero(np.diff(standing.astype(np.int8), prepend=0) == 1)


def area_under_roc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Probability that a positive outranks a negative, ties count half (Mann and Whitney 1947)."""
    if not len(positive) or not len(negative):
        return None
    p, n = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return float(((p > n) + 0.5 * (p == n)).mean())
