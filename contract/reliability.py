"""Does a gas score of 0.7 mean gas in seven of ten pixels? Calibration of the score, per pixel.

Pixels are pooled in a histogram over the 256 values that a score can have, so memory does not grow
with the set. Reliability curve and expected calibration error are over ten bins of equal width
(Naeini, Cooper and Hauskrecht, AAAI 2015), the Brier score (Brier 1950) over all 256 values.
Nearly all pixels of a scene are background: compare the Brier score with that of always answering
the share of gas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.label_map import GAS_SMOKE, IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["N_BINS", "Reliability", "ReliabilityBin", "ReliabilityBoard"]

N_BINS = 10
_LEVELS = 256


class ReliabilityBin(BaseModel):
    """Pixels whose score lies in one tenth of 0..1; None where there is no such pixel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score_from: float
    score_to: float
    pixels: int
    mean_score: float | None
    gas_share: float | None


class Reliability(BaseModel):
    """Calibration of the gas score over all counted pixels of a set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: int
    gas_share: float | None
    expected_calibration_error: float | None
    brier: float | None
    brier_of_gas_share: float | None  # of the answer that is the same for every pixel
    bins: tuple[ReliabilityBin, ...]


class ReliabilityBoard:
    """Collects scores and truths of a set in a histogram."""

    def __init__(self) -> None:
        self._counts = np.zeros((_LEVELS, 2), np.int64)  # by (score, whether it is gas)

    def add(self, truth: NDArray[np.uint8], score: NDArray[np.uint8]) -> None:
        """Add one picture: (H, W) class indices (IGNORE counts nowhere) and scores 0..255."""
        counted = truth != IGNORE
        pairs = score[counted].astype(np.int64) * 2 + (truth[counted] == GAS_SMOKE)
        self._counts += np.bincount(pairs, minlength=2 * _LEVELS).reshape(_LEVELS, 2)

    def scores(self) -> Reliability:
        """Calibration of all pixels added so far."""
        value = np.arange(_LEVELS) / (_LEVELS - 1)
        of_level, gas = self._counts.sum(1), self._counts[:, 1]
        pixels, all_gas = int(of_level.sum()), int(gas.sum())
        bin_of = np.minimum(N_BINS - 1, np.arange(_LEVELS) * N_BINS // (_LEVELS - 1))
        bins, error = [], 0.0
        for number in range(N_BINS):
            here = bin_of == number
            n = int(of_level[here].sum())
            mean = float((of_level * value)[here].sum()) / n if n else None
            share = int(gas[here].sum()) / n if n else None
            if mean is not None and share is not None:
                error += n * abs(mean - share)
            bins.append(
                ReliabilityBin(
                    score_from=number / N_BINS,
                    score_to=(number + 1) / N_BINS,
                    pixels=n,
                    mean_score=mean,
                    gas_share=share,
                )
            )
        squares = (self._counts[:, 0] * value**2 + gas * (1 - value) ** 2).sum()
        base = all_gas / pixels if pixels else None
        return Reliability(
            pixels=pixels,
            gas_share=base,
            expected_calibration_error=error / pixels if pixels else None,
            brier=float(squares) / pixels if pixels else None,
            brier_of_gas_share=base * (1 - base) if base is not None else None,
            bins=tuple(bins),
        )
