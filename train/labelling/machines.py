"""Machines by what stays: structure that stands out from the still background, with its sureness.

A still picture does not say what is a machine and what is a wall. Pipes, valves and vessels mostly
stand out from what is round them by their level and have sharp, strong borders; soft shading has
none. So the label is a guess where structure is weak, and its weight says so. It serves infrared
views, where a plant stands out; among the houses and trees of a visible one it does not. A drawn
mask, one for the whole clip because the camera stands still, is always better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.packages import need

if TYPE_CHECKING:
    from train.labelling.still_background import StillBackground

__all__ = ["MachineLabel", "machines_of"]

_LEAST_LEVELS = 12.0  # less than this above or below its surroundings is shading
_NOISE = 6.0  # standard deviations, likewise
_LOW, _SURE = 0.92, 2.0  # times the threshold: part of a patch that has a core; surely a machine
_EDGE = 0.25  # of the threshold in one pixel is a sharp border
_BORDERED = 0.6  # of a patch's border is sharp
_LEAST_PATCH = 1.5e-3  # of the picture
_STRAY = 4.0  # times the noise in one pixel is an edge
_MOST = 0.95  # weight of the surest
_LEAST_WEIGHT = 0.1

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MachineLabel:
    """Of a scene."""

    mask: NDArray[np.bool_]  # (h, w)
    weight: Float  # (h, w), 0..1: how sure it is that each pixel is a machine, or is none
    contrast: Float  # (h, w), levels that each pixel stands out from what is round it


def machines_of(background: StillBackground) -> MachineLabel:
    """Find the structure that stands out of a still background."""
    cv2 = need("cv2", extra="train")
    level = np.asarray(np.clip(background.level, 0, 255), np.uint8)
    noise = float(np.median(background.noise))
    window = (min(level.shape) * 2 // 3) | 1
    away = np.abs(background.level - cv2.medianBlur(level, window).astype(np.float32))
    away = np.asarray(cv2.GaussianBlur(away, (0, 0), 0.7), np.float32)
    split, _ = cv2.threshold(
        np.clip(away, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU
    )
    threshold = max(_LEAST_LEVELS, _NOISE * noise, float(split))
    mask = _patches(away, background.level, threshold)
    ratio = away / threshold
    rise = np.clip((ratio - _LOW) / (_SURE - _LOW), 0, 1)
    fall = np.clip((1 - ratio) / _LOW, 0, 1)
    sure = np.where(mask, rise, fall)
    # the border lies where two pixels meet: neither side of it is sure
    kernel = np.ones((3, 3), np.uint8)
    border = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0
    sure[border] *= 0.5
    # edges that belong to no patch may be a machine's all the same
    stray = (_slope(background.level) > _STRAY * background.noise) & ~mask & ~border
    side = max(3, min(level.shape) // 12)
    doubt = 4 * cv2.blur(stray.astype(np.float32), (side, side))
    sure[~mask] *= (1 - np.clip(doubt, 0, 0.8))[~mask]
    weight = _LEAST_WEIGHT + (_MOST - _LEAST_WEIGHT) * sure
    return MachineLabel(mask, weight.astype(np.float32), away)


def _patches(away: Float, level: Float, threshold: float) -> NDArray[np.bool_]:
    cv2 = need("cv2", extra="train")
    sharp = _slope(level) >= _EDGE * threshold
    kernel = np.ones((3, 3), np.uint8)
    found = (away >= _LOW * threshold).astype(np.uint8)
    count, patches, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=4)
    core = np.bincount(patches[away >= threshold], minlength=count) > 0
    large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_PATCH * away.size
    border = (cv2.morphologyEx(found, cv2.MORPH_GRADIENT, kernel) > 0) & (found > 0)
    edged = np.bincount(patches[border & sharp], minlength=count)
    bordered = edged >= _BORDERED * np.maximum(np.bincount(patches[border], minlength=count), 1)
    kept = core & large & bordered
    kept[0] = False
    closed = cv2.morphologyEx(kept[patches].astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return np.asarray(closed > 0, np.bool_)


def _slope(level: Float) -> Float:
    """Levels from one pixel to the next."""
    cv2 = need("cv2", extra="train")
    across = cv2.Sobel(level, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(level, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(np.hypot(across, down), np.float32)
