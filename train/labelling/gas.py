"""Gas by change: which pixels differ from the still background as a plume does, and how surely.

Two thresholds decide. Below the noise nothing is known to have changed. Between the noise and a
share of the plume's own contrast gas may be, thin: there the label is background of little weight.
Above that share it is gas, if its patch has a core that is clearly above it.

Boxes say where gas is, not where it is not: puffs that have left the plume are often left out. So
change outside the boxes is neither gas nor background, it is ignored. Without boxes the place
decides: gas keeps coming from its source, while people, cars and swaying branches pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable

    from train.labelling.still_background import StillBackground

__all__ = ["GasLabel", "Thresholds", "change_of", "gas_label", "plume_place", "thresholds_of"]

_NOISE = 4.0  # standard deviations: more is a change
_CLEAR = 8.0
_CONTRAST = 0.16  # of the plume's contrast: what a person would still draw
_CORE = 1.7  # times the threshold: a patch needs a pixel so clear
_QUIET = 0.4  # times the threshold: certainly nothing
_LEAST_WEIGHT = 0.15  # of a label at the threshold
_LEAST_PATCH = 4e-4  # of the picture
_OFTEN = 0.3  # of the frames gas is seen at its source
_SOMETIMES = 0.02  # and elsewhere in its plume
_WITHIN = 0.3  # of a patch lies where the plume is
_UNBOXED = 0.8  # weight of gas that no person has seen
_UNKNOWN = 0.5  # weight of gas before a background that is unknown

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of the smoothed change, in grey levels."""

    gas: Float  # (h, w)
    contrast: float  # of the plume: the usual change where it is clear


@dataclass(frozen=True, slots=True)
class GasLabel:
    """Of one frame."""

    mask: NDArray[np.uint8]  # (h, w): GAS_SMOKE, BACKGROUND, or IGNORE where nobody can tell
    weight: Float  # (h, w), 0..1


def change_of(frame: Float, background: StillBackground) -> Float:
    """Change of a frame, (h, w) grey levels, 0 or more.

    Args:
        frame: (h, w), smoothed in space.
        background: of its run.
    """
    change = frame - background.level
    # the camera's gain drifts: what moves the whole picture is no gas
    change -= np.median(change)
    if background.sign == 0:
        return np.asarray(np.abs(change), np.float32)
    return np.asarray(np.maximum(background.sign * change, 0), np.float32)


def thresholds_of(
    changes: Iterable[Float], background: StillBackground, inside: Iterable[NDArray[np.bool_]]
) -> Thresholds:
    """From the noise, and from the contrast of what changes clearly inside the boxes.

    Args:
        changes: (h, w) of each frame of a run.
        background: of the run.
        inside: (h, w) for each of them, where gas may be.
    """
    total = squares = 0.0
    for change, within in zip(changes, inside, strict=True):
        clear = change[(change > _CLEAR * background.noise) & within].astype(np.float64)
        total += float(clear.sum())
        squares += float((clear**2).sum())
    # weighted by itself: compression that changes a whole sky a little must not decide
    contrast = squares / total if total else 0.0
    return Thresholds(np.maximum(_NOISE * background.noise, _CONTRAST * contrast), contrast)


def plume_place(changes: Iterable[Float], thresholds: Thresholds) -> NDArray[np.bool_]:
    """Where a plume is, by how often it changes: (h, w), all False where nothing keeps changing.

    Args:
        changes: (h, w) of each frame of a run.
        thresholds: of the run.
    """
    cv2 = need("cv2", extra="train")
    often, frames = np.zeros(thresholds.gas.shape, np.float32), 0
    for change in changes:
        often += change > thresholds.gas
        frames += 1
    often = cv2.GaussianBlur(often / max(1, frames), (0, 0), 1)
    count, patches = cv2.connectedComponents((often >= _SOMETIMES).astype(np.uint8), connectivity=8)
    sources = np.bincount(patches[often >= _OFTEN], minlength=count)
    sources[0] = 0
    return np.asarray((sources >= 3)[patches], np.bool_)


def gas_label(
    change: Float,
    thresholds: Thresholds,
    place: NDArray[np.bool_],
    known: NDArray[np.bool_],
    *,
    boxed: bool,
) -> GasLabel:
    """Label one frame.

    Args:
        change: (h, w) of the frame.
        thresholds: of its run.
        place: (h, w), where change is gas: inside the boxes, or where a plume is.
        known: (h, w), where the background is; elsewhere what has not changed may be gas that never
            clears.
        boxed: whether `place` comes from boxes, which cut a patch off at their edge. A plume's
            place is known less well: a patch that lies in it for a good part is taken whole, and
            no pixel is trusted as far.
    """
    cv2 = need("cv2", extra="train")
    ratio = change / thresholds.gas
    changed = (ratio >= 1).astype(np.uint8)
    # speckle between gas is gas: close gaps of a pixel
    kernel = np.ones((3, 3), np.uint8)
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel)
    count, patches, stats, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
    core = np.bincount(patches[(ratio >= _CORE) & (changed > 0)], minlength=count) > 0
    large = stats[:, cv2.CC_STAT_AREA] >= max(3, _LEAST_PATCH * change.size)
    kept = core & large
    kept[0] = False
    if boxed:
        gas = kept[patches] & place
    else:
        within = np.bincount(patches[place], minlength=count) / stats[:, cv2.CC_STAT_AREA]
        gas = (kept & (within >= _WITHIN))[patches]
    uncertain = ((changed > 0) | ~known) & ~gas
    mask = np.where(gas, GAS_SMOKE, BACKGROUND).astype(np.uint8)
    mask[uncertain] = IGNORE
    rise = np.clip((ratio - 1) / (_CORE - 1), 0, 1)
    fall = np.clip((1 - ratio) / (1 - _QUIET), 0, 1)
    weight = _LEAST_WEIGHT + (1 - _LEAST_WEIGHT) * np.where(gas, rise, fall)
    if not boxed:
        weight[gas] *= _UNBOXED
    weight[gas & ~known] *= _UNKNOWN
    weight[uncertain] = 0
    return GasLabel(mask, weight.astype(np.float32))
