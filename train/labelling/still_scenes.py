"""Frames laid over each other: each run's shake taken out, runs of one view put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from contract.errors import InputError
from contract.packages import need
from train.labelling.shake import StillPicture, moved, shifts_of

if TYPE_CHECKING:
    from train.labelling.still_clip import StillClip

__all__ = ["StillRun", "StillScene", "scenes_of"]

_LEAST_FRAMES = 8  # of a scene: fewer do not show what is still
_BLUR = 0.8  # px: what smoothing in space a change needs
_MEDIAN_OF = 41  # frames
_MOST_SHIFT = 0.06  # of the shorter side
_MOST_CHANGED = 0.5  # of the picture may differ from the still picture, more is another view
_DIFFERENT = 25.0  # levels
_SAME_EDGES = 0.35  # correlation of the edges of two runs of one view; two views have 0.2 or less
_SAMPLE_BYTES = 1 << 28

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StillRun:
    """Consecutive frames of one scene."""

    name: str
    positions: tuple[int, ...]  # in the clip
    shifts: tuple[tuple[float, float], ...]  # px (x, y) that lay each frame over the scene

    def frame(self, clip: StillClip, at: int) -> Float:
        """Frame `at` of the run, (h, w) smoothed, over the scene."""
        cv2 = need("cv2", extra="train")
        grey = clip.grey[self.positions[at]].astype(np.float32)
        return moved(np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR), np.float32), self.shifts[at])

    def samples(self, clip: StillClip, most: int) -> tuple[Float, Float, list[int]]:
        """At most so many frames of the run, the one before each, and their positions."""
        last = len(self.positions) - 1
        taken = np.unique(np.linspace(min(1, last), last, max(1, min(last, most))).astype(int))
        frames = np.stack([self.frame(clip, at) for at in taken])
        before = np.stack([self.frame(clip, max(0, at - 1)) for at in taken])
        return frames, before, [self.positions[at] for at in taken]


@dataclass(frozen=True, slots=True)
class StillScene:
    """Runs that show the same view."""

    runs: tuple[StillRun, ...]

    def samples(self, clip: StillClip) -> tuple[Float, Float, list[int]]:
        """Frames spread over all runs, the one before each, and their positions."""
        count = sum(len(run.positions) for run in self.runs)
        most = max(_LEAST_FRAMES, _SAMPLE_BYTES // (4 * clip.grey[0].size))
        share = min(1.0, most / count)
        parts = [run.samples(clip, max(1, round(share * len(run.positions)))) for run in self.runs]
        frames, before = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
        return frames, before, [at for part in parts for at in part[2]]


def scenes_of(clip: StillClip) -> list[StillScene]:
    """Find how far each frame has shaken, and which runs show the same view.

    Raises:
        InputError: when the camera moves too far for a still one, or a view has too few frames.
    """
    scenes: list[tuple[Float, StillPicture, list[StillRun]]] = []
    most = max(2.0, _MOST_SHIFT * min(clip.grey.shape[1:]))
    bar = tqdm(total=len(clip.stems), desc="still camera", delay=2)
    with bar:
        for name, positions in clip.runs.items():
            spread = np.linspace(0, len(positions) - 1, min(len(positions), _MEDIAN_OF))
            middle = _median(clip, [positions[at] for at in spread.astype(int)])
            own = StillPicture(middle)
            shifts = shifts_of([clip.grey[at] for at in positions], own)
            bar.update(len(positions))
            _check(clip, positions, shifts, middle, most)
            for first, picture, runs in scenes:
                x, y = picture.shift_of(middle)
                if max(abs(x), abs(y)) <= most and _same(first, moved(middle, (x, y))):
                    over = tuple((x + dx, y + dy) for dx, dy in shifts)
                    runs.append(StillRun(name, positions, over))
                    break
            else:
                scenes.append((middle, own, [StillRun(name, positions, tuple(shifts))]))
    found = [StillScene(tuple(runs)) for _, _, runs in scenes]
    for scene in found:
        if (count := sum(len(run.positions) for run in scene.runs)) < _LEAST_FRAMES:
            raise InputError(
                f"{clip.source}: the view of {scene.runs[0].name} has {count} frame(s); at least "
                f"{_LEAST_FRAMES} of one still camera are needed to know what is still"
            )
    return found


def _median(clip: StillClip, positions: list[int]) -> Float:
    return np.asarray(np.median(clip.grey[positions], axis=0), np.float32)


def _same(one: Float, other: Float) -> bool:
    """Whether two still pictures have the same edges; levels drift, and a plume adds its own."""
    edges, others = _edges(one), _edges(other)
    strength = float(np.sqrt((edges**2).sum() * (others**2).sum()))
    return strength > 0 and float((edges * others).sum()) >= _SAME_EDGES * strength


def _edges(levels: Float) -> Float:
    cv2 = need("cv2", extra="train")
    smooth = cv2.GaussianBlur(levels, (0, 0), 1)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
    return np.asarray(slopes, np.float32)


def _check(
    clip: StillClip,
    positions: tuple[int, ...],
    shifts: list[tuple[float, float]],
    middle: Float,
    most: float,
) -> None:
    """Refuse a camera that turns, travels or zooms."""
    far = [max(abs(x), abs(y)) for x, y in shifts]
    if max(far) > most:
        at = int(np.argmax(far))
        raise InputError(
            f"{clip.source}: the camera does not stand still: frame {clip.stems[positions[at]]} "
            f"lies {far[at]:.1f} px beside the others of its run, at most {most:.1f} is taken for "
            "shake; cut the clip where the camera moves"
        )
    for at, shift in zip(positions, shifts, strict=True):
        there = moved(clip.grey[at].astype(np.float32), shift) - middle
        changed = float((np.abs(there - np.median(there)) > _DIFFERENT).mean())
        if changed > _MOST_CHANGED:
            raise InputError(
                f"{clip.source}: frame {clip.stems[at]} differs from the still picture of its run "
                f"in {changed:.0%} of its pixels: the view changes there; cut the clip there"
            )
