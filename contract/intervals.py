"""95 % intervals by resampling groups: scenes or clips, never pixels or pictures of one scene.

Pictures of one scene are near-copies of each other, so resampling pictures would promise far more
than the data hold. The cluster bootstrap (Field and Welsh 2007; percentile interval of Efron and
Tibshirani 1993) draws whole groups with replacement and pools what each drawn group counts. With
few groups (under some twenty) such intervals come out too narrow: read them as a lower bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.errors import InputError
from contract.scores import gas_iou_of, mean_iou_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from contract.scores import ImageScore

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Interval",
    "IouIntervals",
    "grouped_interval",
    "iou_intervals",
    "sums_by_group",
]

LEVEL = 0.95
RESAMPLES = 2000


class Interval(BaseModel):
    """A statistic of all groups, and where 95 % of its resamples lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    n_groups: int


class IouIntervals(BaseModel):
    """Intervals of a set; None where there are fewer than two groups, or no gas at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gas_smoke_iou: Interval | None
    mean_iou: Interval | None


def grouped_interval(
    sums: NDArray[Any],
    statistic: Callable[[NDArray[Any]], NDArray[np.float64]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of a statistic of pooled counts.

    Two networks are compared on the same groups by stacking their sums, (n_groups, 2, C, C), and
    giving the difference as the statistic: a group that is hard for both then cancels.

    Args:
        sums: (n_groups, ...) what each group counts, such as its confusion matrix.
        statistic: turns pooled sums (n, ...) into (n,) values; NaN where there is none.
        resamples: how many sets of groups are drawn.
        seed: equal seeds give equal intervals.

    Returns:
        None where there are fewer than two groups, or the statistic has no value.

    Raises:
        InputError: when there is no group at all.
    """
    if not len(sums):
        raise InputError("no group to resample; at least two are needed for an interval")
    value = float(statistic(sums.sum(0)[None])[0])
    n_groups = len(sums)
    if n_groups < 2 or not np.isfinite(value):
        return None
    drawn = np.random.default_rng(seed).multinomial(n_groups, [1 / n_groups] * n_groups, resamples)
    # float64 counts exactly up to 2**53, and multiplies far faster than int64
    pooled = (drawn.astype(np.float64) @ sums.reshape(n_groups, -1)).reshape(-1, *sums.shape[1:])
    values = statistic(pooled)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), n_groups=n_groups)


def iou_intervals(images: Sequence[ImageScore], groups: Mapping[str, str]) -> IouIntervals:
    """Intervals of gas-smoke IoU and mean IoU, pooled over pixels, by resampling groups.

    Args:
        images: as a `ScoreBoard` collected them.
        groups: image name -> group.

    Raises:
        InputError: when there is no image.
    """
    sums = sums_by_group(images, groups)
    return IouIntervals(
        gas_smoke_iou=grouped_interval(sums, gas_iou_of),
        mean_iou=grouped_interval(sums, mean_iou_of),
    )


def sums_by_group(images: Sequence[ImageScore], groups: Mapping[str, str]) -> NDArray[np.int64]:
    """Pool the confusion counts of each group's images: (n_groups, C, C), groups sorted by name.

    Args:
        images: as a `ScoreBoard` collected them.
        groups: image name -> group.
    """
    pooled: dict[str, NDArray[np.int64]] = {}
    for image in images:
        group = groups[image.name]
        pooled[group] = pooled.get(group, 0) + image.counts
    return (
        np.stack([pooled[name] for name in sorted(pooled)])
        if pooled
        else np.zeros((0, 0, 0), np.int64)
    )
