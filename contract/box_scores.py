"""Weak scores of a mask and a gas score against boxes, where nobody has drawn masks.

Pointing follows the pointing game of Zhang et al. ("Top-down Neural Attention by Excitation
Backprop", ECCV 2016): a picture is a hit where the highest score lies inside a box. Scores are 8
bits, so the highest is often reached by many pixels: the picture then counts by the share of these
inside, which is what drawing one of them at random would give on average. No margin around the box
is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.errors import InputError
from contract.label_map import GAS_SMOKE
from contract.packages import need
from contract.plume_scores import PRESENT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Box", "BoxBoard", "BoxScores", "inside_of", "read_yolo_boxes"]

_GOOD_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Box:
    """A box as shares of the picture, 0..1."""

    left: float
    top: float
    right: float
    bottom: float


class BoxScores(BaseModel):
    """Means are over the frames with a box, unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    frames_without_box: int
    pointing_maximum: float | None  # highest score inside a box
    pointing_centroid: float | None  # centroid of the marked pixels' score inside a box
    found_in_box: float | None  # share with PRESENT or more of the picture marked inside a box
    gas_inside_box: float | None  # share of the marked pixels inside; mean over frames that alarm
    gas_only_outside_box: float | None  # share that alarm with nothing marked inside
    box_iou: float | None  # rectangle round the largest marked region against its best box
    box_iou_half: float | None  # share with box_iou of 0.5 or more
    alarms_without_box: float | None  # share of the frames without a box that alarm


def read_yolo_boxes(path: Path) -> tuple[Box, ...]:
    """Read `class cx cy w h` lines, in shares of the picture; an empty file means no gas.

    Raises:
        InputError: when the file is not there or a line is no box.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); a picture without gas has an empty file"
        ) from error
    boxes = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            _, x, y, width, height = (float(word) for word in line.split())
        except ValueError:
            raise InputError(
                f"{path}:{number}: {line.strip()[:60]!r} is no box; expected: class cx cy w h"
            ) from None
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
            raise InputError(
                f"{path}:{number}: box {x:g} {y:g} {width:g} {height:g} is not in shares of the "
                "picture (0..1)"
            )
        boxes.append(
            Box(
                max(0.0, x - width / 2),
                max(0.0, y - height / 2),
                min(1.0, x + width / 2),
                min(1.0, y + height / 2),
            )
        )
    return tuple(boxes)


def inside_of(box: Box, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a (h, w) picture that a box touches."""
    height, width = shape

    def span(low: float, high: float, pixels: int) -> slice:
        # an edge between two pixels touches neither more, whatever its last digits say
        return slice(math.floor(low * pixels + 1e-6), math.ceil(high * pixels - 1e-6))

    return span(box.top, box.bottom, height), span(box.left, box.right, width)


class BoxBoard:
    """Collects frames with their boxes."""

    def __init__(self) -> None:
        self._maximum: list[float] = []
        self._centroid: list[bool] = []
        self._found: list[bool] = []
        self._inside: list[float] = []
        self._only_outside = 0
        self._iou: list[float] = []
        self._alarms_without: list[bool] = []

    def add(
        self, boxes: tuple[Box, ...], mask: NDArray[np.uint8], score: NDArray[np.uint8]
    ) -> float:
        """Add one frame: (h, w) class indices and gas score 0..255, without padding.

        Returns:
            Its rank for a gallery: IoU of its box, or less than 0 for a false alarm.
        """
        gas = mask == GAS_SMOKE
        share = float(gas.mean())
        if not boxes:
            self._alarms_without.append(share >= PRESENT)
            return -share
        inside = np.zeros(gas.shape, np.bool_)
        for box in boxes:
            inside[inside_of(box, gas.shape)] = True
        highest = score.max()
        self._maximum.append(float(inside[score == highest].mean()) if highest else 0.0)
        self._centroid.append(_centroid_inside(gas, score, inside))
        hit = gas & inside
        self._found.append(bool(hit.mean() >= PRESENT))
        if share >= PRESENT:
            self._inside.append(float(hit.sum() / gas.sum()))
            self._only_outside += not hit.any()
        self._iou.append(_rectangle_iou(gas, boxes))
        return self._iou[-1]

    def scores(self) -> BoxScores:
        """Scores of all frames added so far."""
        with_box = len(self._found)
        good = [iou >= _GOOD_IOU for iou in self._iou]
        return BoxScores(
            frames=with_box + len(self._alarms_without),
            frames_without_box=len(self._alarms_without),
            pointing_maximum=_mean(self._maximum),
            pointing_centroid=_mean(self._centroid),
            found_in_box=_mean(self._found),
            gas_inside_box=_mean(self._inside),
            gas_only_outside_box=self._only_outside / with_box if with_box else None,
            box_iou=_mean(self._iou),
            box_iou_half=_mean(good),
            alarms_without_box=_mean(self._alarms_without),
        )


def _mean(values: list[float] | list[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _centroid_inside(
    gas: NDArray[np.bool_], score: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> bool:
    rows, columns = np.nonzero(gas)
    weight = score[rows, columns].astype(np.float64)
    if not weight.sum():
        return False
    row, column = (np.average(at, weights=weight) for at in (rows, columns))
    return bool(inside[round(row), round(column)])


def _rectangle_iou(gas: NDArray[np.bool_], boxes: tuple[Box, ...]) -> float:
    cv2 = need("cv2", extra="cpu")
    count, _, stats, _ = cv2.connectedComponentsWithStats(gas.astype(np.uint8), connectivity=8)
    if count < 2:
        return 0.0
    largest = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])]
    height, width = gas.shape
    left, top = largest[cv2.CC_STAT_LEFT] / width, largest[cv2.CC_STAT_TOP] / height
    right = left + largest[cv2.CC_STAT_WIDTH] / width
    bottom = top + largest[cv2.CC_STAT_HEIGHT] / height
    return max(_iou(Box(left, top, right, bottom), box) for box in boxes)


def _iou(one: Box, other: Box) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (one, other))
    return float(shared / (areas - shared))
