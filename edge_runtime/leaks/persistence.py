"""Which cells keep showing gas: smoothing over time, then hysteresis over connected cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.leaks.cells import GasCells

__all__ = ["Persistence", "weight_of"]

_NOTHING = 1.0  # a smoothed score, of 255, that is as good as none


def weight_of(passed_s: float, constant_s: float) -> float:
    """How much of a new value an average with a time constant takes in after `passed_s`.

    The implicit step of a first-order lag: it needs no exponential, so it is the same everywhere,
    and it is as good as one where the frames are much faster than the constant.
    """
    return passed_s / (constant_s + passed_s) if passed_s > 0 else 0.0


class Persistence:
    """Smoothed score of each cell.

    Args:
        shape: rows and columns of the grid.
        constant_s: time constant of the smoothing; 0 takes each frame as it is.
    """

    def __init__(self, shape: tuple[int, int], constant_s: float) -> None:
        self._constant_s = constant_s
        self._smooth = np.zeros(shape, np.float32)  # 0..255
        self._at_s: float | None = None
        self._active = False

    def update(self, gas: GasCells | None, at_s: float) -> None:
        """Take in what a frame shows; the first one counts in full."""
        passed_s = float("inf") if self._at_s is None else at_s - self._at_s
        whole = self._at_s is None or self._constant_s == 0
        weight = np.float32(1.0 if whole else weight_of(passed_s, self._constant_s))
        self._at_s = at_s
        if gas is not None:
            mean = gas.score / np.maximum(gas.count, 1).astype(np.float32)
            self._smooth += (mean.astype(np.float32) - self._smooth) * weight
            self._active = True
        elif self._active:
            self._smooth -= self._smooth * weight
            if self._smooth.max() < _NOTHING:
                self._smooth[:] = 0
                self._active = False

    def regions(self, seed: float, grow: float) -> NDArray[np.int32] | None:
        """Number the connected regions of cells that reach `grow` and hold one that reaches `seed`.

        Args:
            seed: smoothed score, 0..1.
            grow: the same, not above `seed`.

        Returns:
            (rows, columns), 0 outside, regions from 1 in the order of their first cells; None
            when there is none.
        """
        if not self._active:
            return None
        cv2 = need("cv2", extra="cpu")
        grown = (self._smooth >= grow * 255).view(np.uint8)
        cells = np.flatnonzero(grown)
        seeds = self._smooth.ravel()[cells] >= seed * 255
        if not seeds.any():
            return None
        _, labels = cv2.connectedComponents(grown, connectivity=8, ltype=cv2.CV_32S)
        region = labels.ravel()[cells]
        kept = np.zeros(int(region.max()) + 1, np.bool_)
        kept[region[seeds]] = True
        inside = kept[region]
        cells, region = cells[inside], region[inside]
        # how the library numbers them depends on its threads
        found, first = np.unique(region, return_index=True)
        number = np.zeros(len(kept), np.int32)
        number[found[np.argsort(first, kind="stable")]] = np.arange(1, len(found) + 1)
        regions = np.zeros(grown.shape, np.int32)
        regions.ravel()[cells] = number[region]
        return regions
