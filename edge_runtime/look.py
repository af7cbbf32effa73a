"""What a picture looks like, as far as its camera's health goes: one cheap pass for all rules."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from edge_runtime.pixels import CameraPicture, green_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCKS", "SHARP", "VIEW", "Look", "look_at", "mark_of"]

VIEW = (64, 48)
"""Columns and rows of the small picture by which a view is known again."""
BLOCKS = (8, 6)
"""Columns and rows of the blocks in which views are compared, each 8 x 8 of `VIEW`."""

SHARP = 100.0
"""Beyond this sharpness is not measured: no camera that is out of focus comes near it."""

_ROWS, _COLUMNS = 96, 128  # of the lattice on which pictures are compared, about
_PATCH = 32  # side of the patches on which sharpness is measured, in camera pixels
_AROUND = 7  # of `VIEW`: what is wider counts as light, not as structure


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture looks like."""

    width: int
    height: int
    lattice: NDArray[np.uint8]  # (rows, columns) green of every n-th pixel: sensor noise shows
    mark: int  # equal lattices have equal marks
    brightest: float  # 99th percentile of brightness, 0..255
    saturated: float  # share of pixels at 250 or more
    sharpness: float  # largest mean square of the Laplacian of nine patches, to `SHARP`
    structure: NDArray[np.float32]  # (48, 64) the view without its light: edges and texture
    layout: NDArray[np.float32]  # (6, 8) mean grey of each block


def look_at(picture: CameraPicture) -> Look:
    """Measure a picture."""
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    lattice = _lattice(picture)
    counts = cv2.calcHist([lattice], [0], None, [256], [0, 256]).ravel()
    # the lattice is mostly twice as fine, so this averages four points
    view = cv2.resize(lattice, VIEW, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return Look(
        width=width,
        height=height,
        lattice=lattice,
        mark=_mark(lattice),
        brightest=float(np.searchsorted(counts.cumsum(), 0.99 * lattice.size)),
        saturated=float(counts[250:].sum()) / lattice.size,
        sharpness=_sharpness(picture),
        structure=view - cv2.blur(view, (_AROUND, _AROUND)),
        layout=cv2.resize(view, BLOCKS, interpolation=cv2.INTER_AREA),
    )


def mark_of(picture: CameraPicture) -> int:
    """The mark alone, at a tenth of the cost of a whole look."""
    return _mark(_lattice(picture))


def _lattice(picture: CameraPicture) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    # green alone: half of the light, and a third of the work
    step_y, step_x = max(1, round(height / _ROWS)), max(1, round(width / _COLUMNS))
    return green_of(picture, slice(None, None, step_y), slice(None, None, step_x))


def _mark(lattice: NDArray[np.uint8]) -> int:
    return zlib.crc32(lattice.data)


def _sharpness(picture: CameraPicture) -> float:
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    sharpest = 0.0
    for row in ((height - _PATCH) // 2, 0, height - _PATCH):
        for column in ((width - _PATCH) // 2, 0, width - _PATCH):
            top, left = max(0, row), max(0, column)
            patch = green_of(picture, slice(top, top + _PATCH), slice(left, left + _PATCH))
            edges = cv2.Laplacian(patch, cv2.CV_16S)  # its mean is nought but for the border
            sharpest = max(sharpest, cv2.norm(edges, cv2.NORM_L2SQR) / edges.size)
            if sharpest >= SHARP:
                return SHARP
    return sharpest
