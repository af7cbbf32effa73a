"""Scores of a run's test pictures, from the counts it has kept of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.scores import gas_iou_of, mean_f1_of, mean_iou_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.picture_counts import PictureCounts

__all__ = ["MEASURES", "POOLED", "measures_of"]


# over all pixels of the set
POOLED = {"gas-smoke IoU": gas_iou_of, "mean IoU": mean_iou_of}
# of each picture, averaged: how the study of 2020 averages
_BY_PICTURE = {"image mean IoU": mean_iou_of, "image mean F1": mean_f1_of}
MEASURES = (*POOLED, *_BY_PICTURE)


def measures_of(pictures: Sequence[PictureCounts]) -> dict[str, float]:
    """Every measure of a set of pictures; NaN where there is none."""
    counts = np.stack([each.counts for each in pictures])
    pooled = {name: float(measure(counts.sum(0))) for name, measure in POOLED.items()}
    return pooled | {name: _mean(measure(counts)) for name, measure in _BY_PICTURE.items()}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
