"""Where to end the range of an activation: every magnitude above it is cut off.

A wide range has coarse steps, a narrow one cuts. Each method draws the line otherwise, and none is
best for every network: `--method auto` tries them all. They see a histogram of magnitudes only.

* max: nothing is cut. Right when the few largest values carry the plume, wasteful otherwise.
* percentile: one value in ten thousand is cut.
* mse: the least mean squared error of quantised against true values.
* entropy: the least information lost (Kullback-Leibler divergence) when the histogram is told in
  128 levels, after Migacz, "8-bit inference with TensorRT", GTC 2017. What the zeros behind a ReLU
  do is no information: their bin counts like its neighbour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.calibrated_ranges import INT8_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["BINS", "DEFAULT_METHOD", "LEARNED", "METHODS", "PERCENTILE"]

BINS = 4096
PERCENTILE = 99.99
# On a network trained on real smoke "max" cost 0.0051 of gas IoU and this nothing: docs/results.md.
DEFAULT_METHOD = "percentile"
LEARNED = "learned"  # what the network was fine-tuned with; no method of taking ranges
_LEVELS = 128
_CANDIDATES = 128  # ranges that mse tries
_ENTROPY_BINS = 2048


def _max(_counts: NDArray[np.int64], top: float) -> float:
    return top


def _percentile(counts: NDArray[np.int64], top: float) -> float:
    reached = np.searchsorted(np.cumsum(counts), PERCENTILE / 100 * counts.sum())
    return float(reached + 1) * top / BINS


def _mse(counts: NDArray[np.int64], top: float) -> float:
    used = np.flatnonzero(counts)
    centres, weights = (used + 0.5) * (top / BINS), counts[used]
    centres[used == 0] = 0.0  # zeros behind a ReLU are exact
    ends = top * np.arange(1, _CANDIDATES + 1) / _CANDIDATES
    errors = []
    for end in ends:
        step = end / INT8_MAX
        told = np.minimum(np.rint(centres / step), INT8_MAX) * step
        errors.append(float(weights @ (centres - told) ** 2))
    return float(ends[int(np.argmin(errors))])


def _entropy(counts: NDArray[np.int64], top: float) -> float:
    merged = counts.reshape(_ENTROPY_BINS, -1).sum(axis=1).astype(np.float64)
    merged[0] = merged[1]
    if not merged.any():
        return top
    last = int(np.flatnonzero(merged)[-1]) + 1
    tails = merged.sum() - np.cumsum(merged)
    best, least = last, np.inf
    for end in range(min(_LEVELS, last), last + 1):
        kept = merged[:end]
        truth = kept.copy()
        truth[-1] += tails[end - 1]
        divergence = _divergence(truth, _in_levels(kept))
        if divergence < least:
            best, least = end, divergence
    return best * top / _ENTROPY_BINS


def _in_levels(kept: NDArray[np.float64]) -> NDArray[np.float64]:
    """The histogram as 128 levels tell it: each level's count spread over its non-empty bins."""
    level = np.arange(len(kept)) * _LEVELS // len(kept)
    there = kept > 0
    total = np.bincount(level, kept, _LEVELS)
    bins = np.bincount(level, there, _LEVELS)
    return np.asarray(np.where(there, total[level] / np.maximum(bins[level], 1), 0.0))


def _divergence(truth: NDArray[np.float64], told: NDArray[np.float64]) -> float:
    """Kullback-Leibler divergence; a bin that is true and not told counts as all but lost."""
    true, there = truth / truth.sum(), truth > 0
    if not told.any():
        return np.inf
    said = np.maximum(told / told.sum(), 1e-12)
    return float(np.sum(true[there] * np.log(true[there] / said[there])))


METHODS: Mapping[str, Callable[[NDArray[np.int64], float], float]] = {
    "percentile": _percentile,
    "max": _max,
    "mse": _mse,
    "entropy": _entropy,
}
"""(counts of BINS bins over magnitudes 0 to top, top) -> largest magnitude to represent."""
