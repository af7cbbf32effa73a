"""Polygons, boxes and run lengths as pixels, and many of them as one mask.

Where shapes overlap, gas hides machine, machine hides "ignore", and that hides background: a plume
before a tank is a plume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Shape", "box", "counts_of_text", "painted", "polygon", "run_lengths", "size_of"]

_MAX_PIXELS = 1 << 26  # as pictures that are decoded
_ORDER = (IGNORE, MACHINE, GAS_SMOKE)


@dataclass(frozen=True, slots=True)
class Shape:
    """Pixels of one object."""

    index: int  # class index or IGNORE
    pixels: NDArray[np.bool_]  # (h, w)


def size_of(height: object, width: object, where: str) -> tuple[int, int]:
    """Size (h, w) of a picture as an annotation file states it.

    Raises:
        InputError: when it is none.
    """
    try:
        size = int(str(height)), int(str(width))
    except ValueError:
        size = 0, 0
    if min(size) < 1 or size[0] * size[1] > _MAX_PIXELS:
        raise InputError(
            f"{where}: is said to be {width} x {height} pixels; export the labels anew"
        )
    return size


def painted(size: tuple[int, int], shapes: Iterable[Shape]) -> NDArray[np.uint8]:
    """One (h, w) mask of class indices from any number of shapes."""
    mask = np.full(size, BACKGROUND, np.uint8)
    in_order = list(shapes)
    for index in _ORDER:
        for shape in in_order:
            if shape.index == index:
                mask[shape.pixels] = index
    return mask


def polygon(
    points: Sequence[Sequence[float]], size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    """Pixels (h, w) of a closed polygon of (x, y) in pixels, as pycocotools sees them.

    Raises:
        InputError: when it has fewer than three points or one lies far outside the picture.
    """
    coco = need("pycocotools.mask", extra="train")
    height, width = size
    xy = np.array(points, np.float64)
    if xy.ndim != 2 or xy.shape[1:] != (2,) or len(xy) < 3:
        raise InputError(f"{where}: a polygon needs three points or more; mend or delete it")
    far = np.array([width, height])
    if not np.isfinite(xy).all() or (xy < -far).any() or (xy > 2 * far).any():
        raise InputError(
            f"{where}: a polygon lies far outside its picture of {width}x{height}; mend it"
        )
    (packed,) = coco.frPyObjects([xy.ravel().tolist()], height, width)
    counts = counts_of_text(packed["counts"].decode(), where)
    return run_lengths(counts, size, where, by_columns=True)


def box(
    left: float, top: float, right: float, bottom: float, size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    """Pixels (h, w) that a box in pixels touches.

    Raises:
        InputError: when it has no area inside the picture.
    """
    height, width = size
    pixels = np.zeros(size, np.bool_)
    if not all(math.isfinite(side) for side in (left, top, right, bottom)):
        raise InputError(f"{where}: a box has sides that are no numbers; mend it")
    rows = slice(max(0, math.floor(top)), max(0, min(height, math.ceil(bottom))))
    pixels[rows, max(0, math.floor(left)) : max(0, min(width, math.ceil(right)))] = True
    if not pixels.any():
        raise InputError(f"{where}: a box has no area inside its picture; mend or delete it")
    return pixels


def run_lengths(
    counts: Sequence[int], size: tuple[int, int], where: str, *, by_columns: bool
) -> NDArray[np.bool_]:
    """Pixels (h, w) of alternating runs, the first of them outside the object.

    Raises:
        InputError: when the runs do not fill the size exactly.
    """
    runs = np.array(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != size[0] * size[1]:
        raise InputError(
            f"{where}: run lengths do not fill {size[1]}x{size[0]} pixels; export the labels anew"
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(size, order="F" if by_columns else "C")


def counts_of_text(text: str, where: str) -> list[int]:
    """Run lengths of COCO's packed text.

    A letter holds 5 bits and whether more follow; from the fourth run on, what is stored is the
    difference to the run two before.

    Raises:
        InputError: when the text is no such packing.
    """
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at >= len(text) or not 48 <= ord(text[at]) < 112 or shift > 30:
                raise InputError(f"{where}: packed run lengths are broken; export the labels anew")
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            shift += 5
            at += 1
            if not more and bits & 0x10:
                value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts
