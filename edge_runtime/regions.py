"""Zones and ignored polygons, from the picture's own pixels onto the network's field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from contract.geometry import FrameFit

__all__ = ["counting_pixels", "within"]

_FINER = 4  # bits behind the point of a corner's place


def counting_pixels(
    ignored: Iterable[Sequence[tuple[float, float]]], fit: FrameFit
) -> NDArray[np.bool_]:
    """Pixels (height, width) of the valid field that count: those outside all polygons."""
    counts = np.ones((fit.height, fit.width), np.bool_)
    for polygon in ignored:
        counts &= ~within(polygon, fit, counts.shape)
    return counts


def within(
    polygon: Sequence[tuple[float, float]],
    fit: FrameFit,
    shape: tuple[int, ...],
    side: int = 1,
) -> NDArray[np.bool_]:
    """Cells of `side` x `side` pixels of the valid field that a polygon holds or touches.

    Args:
        polygon: corners in pixels of the picture; (0, 0) is the corner of its first pixel.
        fit: where the picture lies in the network's input.
        shape: rows and columns of cells.
        side: of a cell in pixels.
    """
    cv2 = need("cv2", extra="cpu")
    corners = np.array(polygon, np.float64)
    corners *= (
        fit.width / fit.picture_width / side,
        fit.height / fit.picture_height / side,
    )
    # a cell's place is its middle here, its corner there
    places = np.rint((corners - 0.5) * (1 << _FINER)).astype(np.int32)
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [places], 1, shift=_FINER)
    return drawn.view(np.bool_)
