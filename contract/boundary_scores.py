"""How far a plume's drawn edge lies from its true one, in pixels of the network's input.

Two measures: the mean symmetric distance between the two boundaries (average symmetric surface
distance, Heimann et al., IEEE Transactions on Medical Imaging 28, 2009), and the boundary F1 at a
tolerance of 0.75 % of the diagonal (Csurka et al., BMVC 2013), averaged over pictures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.label_map import GAS_SMOKE, IGNORE
from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOLERANCE", "BoundaryBoard", "BoundaryScore", "boundary_of"]

TOLERANCE = 0.0075
"""Distance that still counts as on the boundary, as a share of the input's diagonal."""


class BoundaryScore(BaseModel):
    """Over pictures whose true plume has an edge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int
    unanswered: int  # of these without any edge in the result: they have no distance, and F1 0
    mean_distance_px: float | None  # mean over the answered pictures
    f1: float | None  # mean over all of them
    tolerance_px: float | None


def boundary_of(region: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a region (H, W) that touch, by a side, a counted pixel outside it.

    Where the picture or what is counted of it ends, a plume goes on unseen: that is no edge.
    """
    outside = counted & ~region
    touched = np.zeros_like(region)
    touched[1:] |= outside[:-1]
    touched[:-1] |= outside[1:]
    touched[:, 1:] |= outside[:, :-1]
    touched[:, :-1] |= outside[:, 1:]
    return region & touched


class BoundaryBoard:
    """Collects the boundary errors of a set, picture by picture."""

    def __init__(self) -> None:
        self._distances: list[float] = []
        self._f1: list[float] = []
        self._tolerance_px: float | None = None

    def add(self, truth: NDArray[np.uint8], result: NDArray[np.uint8]) -> None:
        """Add one picture: (H, W) class indices of truth (IGNORE allowed) and result."""
        counted = truth != IGNORE
        true = boundary_of(truth == GAS_SMOKE, counted)
        if not true.any():
            return
        self._tolerance_px = TOLERANCE * math.hypot(*truth.shape)
        drawn = boundary_of((result == GAS_SMOKE) & counted, counted)
        if not drawn.any():
            self._f1.append(0.0)
            return
        true, drawn = _cropped(true, drawn)
        drawn_to_true, true_to_drawn = _distance_to(true)[drawn], _distance_to(drawn)[true]
        both = drawn_to_true.sum() + true_to_drawn.sum()
        self._distances.append(float(both) / (drawn_to_true.size + true_to_drawn.size))
        precision = float((drawn_to_true <= self._tolerance_px).mean())
        recall = float((true_to_drawn <= self._tolerance_px).mean())
        together = precision + recall
        self._f1.append(2 * precision * recall / together if together else 0.0)

    def scores(self) -> BoundaryScore:
        """Scores of all pictures added so far."""
        distances, f1 = self._distances, self._f1
        return BoundaryScore(
            pictures=len(f1),
            unanswered=len(f1) - len(distances),
            mean_distance_px=sum(distances) / len(distances) if distances else None,
            f1=sum(f1) / len(f1) if f1 else None,
            tolerance_px=self._tolerance_px,
        )


def _cropped(
    one: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both within the rectangle round both: distances inside it are the same and sooner found."""
    rows = np.flatnonzero((one | other).any(1))
    columns = np.flatnonzero((one | other).any(0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return one[part], other[part]


def _distance_to(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of every pixel to the nearest of `pixels`, (H, W) in pixels."""
    cv2 = need("cv2", extra="cpu")
    away = np.where(pixels, np.uint8(0), np.uint8(1))
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64)
