"""Where a plume drifts to and where it comes from, from how its gas moves over the grid.

The motion is the one displacement that best explains the change between two pictures of the gas
(least squares over the gradient, Lucas and Kanade 1981), summed over seconds. The source is the
upstream end of where gas has been standing: turbulence frays the tail, so that nothing lasts
there, and the outlet stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DriftSums", "displacement_products", "drift_degrees", "heading", "source_cell"]

_MEMORY_S = 10.0
_LEAST_SAMPLES = 10  # pairs of pictures before anything is said
_LASTING = 0.1  # share of the longest standing
_END = 0.1  # share of a plume's standing gas that is its end


@dataclass(slots=True)
class DriftSums:
    """Normal equations of one leak's displacement, fading with a time constant."""

    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0
    xt: float = 0.0
    yt: float = 0.0
    samples: int = 0

    def add(self, products: NDArray[np.int64], passed_s: float) -> None:
        """Take in the products of a pair of pictures, summed over the leak's cells, (5,)."""
        keep = _MEMORY_S / (_MEMORY_S + passed_s)
        xx, xy, yy, xt, yt = (int(each) for each in products)
        self.xx, self.xy, self.yy = keep * self.xx + xx, keep * self.xy + xy, keep * self.yy + yy
        self.xt, self.yt = keep * self.xt + xt, keep * self.yt + yt
        self.samples += 1

    def direction(self) -> tuple[float, float] | None:
        """Unit vector (x right, y down) of the drift; None while too little is known."""
        determinant = self.xx * self.yy - self.xy * self.xy
        if self.samples < _LEAST_SAMPLES or determinant <= 0:
            return None
        x = self.xy * self.yt - self.yy * self.xt
        y = self.xy * self.xt - self.xx * self.yt
        length = math.sqrt(x * x + y * y)
        return (x / length, y / length) if length > 0 else None


def displacement_products(before: NDArray[np.int32], now: NDArray[np.int32]) -> NDArray[np.int64]:
    """Products of the gradients of two (h, w) fields in space and time, (5, h, w)."""
    middle = _blurred(_blurred(before + now).T).T
    across, down = np.zeros_like(middle), np.zeros_like(middle)
    across[:, 1:-1] = middle[:, 2:] - middle[:, :-2]
    down[1:-1] = middle[2:] - middle[:-2]
    x, y, t = across.astype(np.int64), down.astype(np.int64), (now - before).astype(np.int64)
    return np.stack([x * x, x * y, y * y, x * t, y * t])


def drift_degrees(direction: tuple[float, float]) -> float:
    """Direction as an angle in the picture, 0 to 360: 0 is to the right, 90 is up."""
    return round(math.degrees(math.atan2(-direction[1], direction[0])) % 360, 1) % 360


def heading(
    standing: NDArray[np.int64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    source: tuple[float, float],
    towards: tuple[float, float],
) -> tuple[float, float]:
    """Where a plume goes: half by how its gas moves, half by where it stands from its source.

    The first tells the way, the second, an average over all the gas, steadies it. Arguments as of
    `source_cell`; gives (x, y) of any length.
    """
    total = int(standing.sum())
    x = int((standing * (2 * columns + 1)).sum()) / (2 * total) - source[0]
    y = int((standing * (2 * rows + 1)).sum()) / (2 * total) - source[1]
    length = math.sqrt(x * x + y * y)
    if length == 0 or x * towards[0] + y * towards[1] <= 0:
        return towards
    return towards[0] + x / length, towards[1] + y / length


def source_cell(
    standing: NDArray[np.int64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    towards: tuple[float, float],
) -> tuple[float, float] | None:
    """Where a plume begins, as (x, y) in cells.

    Args:
        standing: (n,) how long gas stood in each of its cells, in any unit.
        rows: (n,) of the cells.
        columns: (n,) of the cells.
        towards: unit vector of its drift.
    """
    lasting = standing > _LASTING * int(standing.max(initial=0))
    weight, x, y = standing[lasting], columns[lasting], rows[lasting]
    total = int(weight.sum())
    if total == 0:
        return None
    # twice the coordinates from the middle of the box, so that all sums are whole numbers
    x2, y2 = 2 * x - int(x.min() + x.max()), 2 * y - int(y.min() + y.max())
    mean_x, mean_y = int((weight * x2).sum()) / total, int((weight * y2).sum()) / total
    xx = int((weight * x2 * x2).sum()) / total - mean_x * mean_x
    xy = int((weight * x2 * y2).sum()) / total - mean_x * mean_y
    yy = int((weight * y2 * y2).sum()) / total - mean_y * mean_y
    along_x, along_y = _longest_axis(xx, xy, yy)
    if along_x * towards[0] + along_y * towards[1] < 0:
        along_x, along_y = -along_x, -along_y
    order = np.argsort(x2 * along_x + y2 * along_y, kind="stable")
    passed = np.cumsum(weight[order])
    end = order[: 1 + int(np.searchsorted(passed, _END * total))]
    heavy = weight[end] * weight[end]
    half = 0.5 * float(heavy.sum())
    return (
        float((heavy * (2 * x[end] + 1)).sum()) * 0.25 / half,
        float((heavy * (2 * y[end] + 1)).sum()) * 0.25 / half,
    )


def _longest_axis(xx: float, xy: float, yy: float) -> tuple[float, float]:
    """Unit eigenvector of a symmetric 2 x 2 matrix for its larger eigenvalue."""
    half = 0.5 * (xx - yy)
    root = math.sqrt(half * half + xy * xy)
    x, y = (half + root, xy) if half >= 0 else (xy, root - half)
    length = math.sqrt(x * x + y * y)
    return (x / length, y / length) if length > 0 else (1.0, 0.0)


def _blurred(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    """Weights 1 2 1 down the columns."""
    blurred = 2 * plane
    blurred[1:] += plane[:-1]
    blurred[:-1] += plane[1:]
    return blurred
