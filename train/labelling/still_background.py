"""The still picture behind a plume, and how noisy each of its pixels is.

A pixel's levels over time are those of the background, noisy but tight, and those of gas passing,
which spread. So the tightest window that holds a share of all levels lies on the background, even
where gas is seen most of the time. Moments outside all boxes go before all others. Where gas of one
clip is always brighter (or always darker) than
what is behind it, the quiet end of the levels says more still: there a few clear moments suffice.
Where gas never clears, no statistics help: such pixels change most of the time, do not gather at
their background more than beside it, and their background does not fit in with what is round it.
They are called unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["StillBackground", "background_of", "of_run"]

_WINDOW = 0.12  # of the levels, in the tightest window
_QUIET = 0.03  # of the levels lie beyond the quiet end
_QUIET_SIGMA = 1.88  # where that share lies in noise alone
_CLEAR = 6.0  # times the noise: certainly not noise
_ONE_SIDED = 0.9  # of what is certainly no noise lies on one side
_BAND = 2.5  # times the noise: at the background
_SELDOM = 0.6  # of the frames
_GATHERED = 2.2  # times as many levels at the background as beside it
_FITS = 4.0  # times the noise
_MOST_NOISE = 2.0  # times the picture's median
_LEAST_NOISE = 0.7  # levels: of rounding and compression
_OWN_FRAMES = 10  # a shorter run has no background of its own
_DRIFT_LEVELS, _DRIFT_SHARE = 6.0, 0.1  # between runs: so many levels, and of the level itself
_FAR = 1e4  # levels
_STRIP = 1 << 22  # levels sorted at once

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StillBackground:
    """What the camera sees where nothing passes."""

    level: Float  # (h, w), grey levels
    noise: Float  # (h, w), standard deviation in one frame
    sign: int  # 1: gas is brighter than what is behind it, -1: darker, 0: either
    known: NDArray[np.bool_]  # (h, w); False where gas hardly ever cleared


def background_of(
    frames: Float, before: Float, sign: int | None, inside: NDArray[np.bool_] | None
) -> StillBackground:
    """Estimate the background of frames that lie over each other.

    Args:
        frames: (n, h, w) grey levels, samples of all runs.
        before: (n, h, w), the frame before each of them.
        sign: as of `StillBackground`; None finds out.
        inside: (n, h, w), the boxes; None where there are none.
    """
    level, low, high = _levels(frames, inside)
    noise = _noise(frames, before, level)
    if sign is None:
        somewhere = np.ones(level.shape, np.bool_)
        if inside is not None:
            np.any(inside, axis=0, out=somewhere)
        sign = _sign(frames, level, noise, somewhere)
    if sign > 0:
        quiet = low + _QUIET_SIGMA * noise
        level = np.where(quiet < level - 2 * noise, quiet, level)
    elif sign < 0:
        quiet = high - _QUIET_SIGMA * noise
        level = np.where(quiet > level + 2 * noise, quiet, level)
    level = level.astype(np.float32)
    return StillBackground(level, noise, sign, _known(frames, level, noise))


def of_run(background: StillBackground, frames: Float, before: Float) -> StillBackground:
    """Follow what warmed or cooled between the runs of one scene.

    Where half of a run's levels lie as tight together as noise allows, and near the background of
    all runs, they are the run's own background. Gas is neither tight nor near.

    Args:
        background: of all runs.
        frames: (n, h, w), samples of this run.
        before: (n, h, w), the frame before each of them.
    """
    count = len(frames)
    if count < _OWN_FRAMES:
        return background
    levels = np.sort(frames, axis=0)
    held = count // 2
    spread = levels[held - 1 :] - levels[: count - held + 1]
    first = spread.argmin(axis=0)[None]
    tight = np.take_along_axis(spread, first, axis=0)[0] <= 3 * background.noise
    own = np.take_along_axis(levels, first + held // 2, axis=0)[0]
    near = np.abs(own - background.level) <= _DRIFT_LEVELS + _DRIFT_SHARE * background.level
    level = np.where(tight & near, own, background.level).astype(np.float32)
    noise = np.minimum(background.noise, _noise(frames, before, level))
    known = background.known | (tight & near) | _known(frames, level, noise)
    return replace(background, level=level, noise=noise, known=known)


def _levels(frames: Float, inside: NDArray[np.bool_] | None) -> tuple[Float, Float, Float]:
    """Middle of the tightest window, low and high quiet end, (h, w) each."""
    count, height, width = frames.shape
    held = min(count, max(4, round(_WINDOW * count)))
    end = int(_QUIET * count)
    found: list[list[Float]] = [[], [], []]
    rows = max(1, _STRIP // (count * width))
    for top in range(0, height, rows):
        strip = frames[:, top : top + rows]
        levels = ends = np.sort(strip, axis=0)
        if inside is not None:
            boxed = inside[:, top : top + rows]
            boxed = boxed & ((~boxed).sum(axis=0) >= held)
            # so far apart that no tight window reaches among them
            apart = _FAR * np.arange(1, count + 1, dtype=np.float32)[:, None, None]
            levels = np.sort(np.where(boxed, apart, strip), axis=0)
        spread = levels[held - 1 :] - levels[: count - held + 1]
        first = spread.argmin(axis=0)[None]
        window = np.take_along_axis(levels, first + held // 2, axis=0)[0]
        strips = (window, ends[end], ends[count - 1 - end])
        for rows_of, each in zip(found, strips, strict=True):
            rows_of.append(each)
    whole = [np.concatenate(each) for each in found]
    return whole[0], whole[1], whole[2]


def _noise(frames: Float, before: Float, level: Float) -> Float:
    """From the quieter half of the distances to the background and to the frame before."""
    cv2 = need("cv2", extra="train")
    away = np.quantile(np.abs(frames - level), 0.3, axis=0) / 0.385
    step = np.quantile(np.abs(frames - before), 0.3, axis=0) / (0.385 * np.sqrt(2))
    step = np.maximum(cv2.medianBlur(step.astype(np.float32), 5), _LEAST_NOISE)
    noise = np.clip(away, step, 3 * step).astype(np.float32)
    # what is far above the usual is gas that passes all the time
    return np.asarray(np.minimum(noise, _MOST_NOISE * np.median(noise)), np.float32)


def _known(frames: Float, level: Float, noise: Float) -> NDArray[np.bool_]:
    """Where levels gather at the background, or it fits in with what is round it."""
    cv2 = need("cv2", extra="train")
    at, below, above = (np.zeros(level.shape, np.float32) for _ in range(3))
    for change in _changes(frames, level, noise):
        at += np.abs(change) <= _BAND
        above += (change > _BAND) & (change <= 3 * _BAND)
        below += (change < -_BAND) & (change >= -3 * _BAND)
    at, beside = (cv2.blur(each, (5, 5)) for each in (at, np.maximum(above, below)))
    restless = ((at < _SELDOM * len(frames)) & (at < _GATHERED * beside)).astype(np.uint8)
    restless = cv2.morphologyEx(restless, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not restless.any():
        return np.ones(level.shape, np.bool_)
    hidden = cv2.dilate(restless, np.ones((5, 5), np.uint8))
    coarse = np.asarray(np.clip(level, 0, 255), np.uint8)
    filled = cv2.inpaint(coarse, hidden, 3, cv2.INPAINT_TELEA).astype(np.float32)
    odd = (hidden > 0) & (np.abs(level - filled) > _FITS * noise)
    odd = cv2.morphologyEx(odd.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(odd == 0, np.bool_)


def _sign(frames: Float, level: Float, noise: Float, inside: NDArray[np.bool_]) -> int:
    brighter = darker = 0.0
    for change in _changes(frames, level, noise):
        clear = change[inside]
        brighter += float(np.maximum(clear - _CLEAR, 0).sum())
        darker += float(np.maximum(-clear - _CLEAR, 0).sum())
    if brighter + darker == 0:
        return 0
    share = brighter / (brighter + darker)
    return int(share >= _ONE_SIDED) - int(share <= 1 - _ONE_SIDED)


def _changes(frames: Float, level: Float, noise: Float) -> Iterator[Float]:
    for frame in frames:
        yield (frame - level) / noise
