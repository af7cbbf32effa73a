"""How far a frame lies beside the still picture, in spite of a plume that covers part of it.

Phase correlation alone follows the plume, often the strongest edge of the picture. So its answer is
a candidate only: candidates are refined by least squares on the pixels that agree (Lucas and
Kanade's step with outliers left out), and the one that leaves least on the picture's edges wins.
A plume that fills the view feigns a shift all the same, but no step from one frame to the next. So
a shift that comes or goes between two frames must show between these two as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["StillPicture", "moved", "shifts_of"]

_SIDE = 320  # px; larger pictures are measured at this size
_LIMITS = (8, 6, 5, 4, 4, 3, 3, 3)  # of the median residual, each round: what is beyond is left out
_GAIN = 0.85  # a shift must leave less than this of what standing still leaves
_JUMP = 1.0  # px from one frame to the next; a larger one must show between the two
_LEAST = 0.12  # px; a smaller shift changes less than the noise

Float = NDArray[np.float32]
Shift = tuple[float, float]  # px (x, y)


class StillPicture:
    """A reference that frames are compared with.

    Args:
        levels: (h, w) grey.
    """

    def __init__(self, levels: Float) -> None:
        self._cv2: Any = need("cv2", extra="train")
        self._scale = min(1.0, _SIDE / max(levels.shape))
        self._levels = self._reduced(levels)
        height, width = self._levels.shape
        self._window = self._cv2.createHanningWindow((width, height), self._cv2.CV_32F)
        self._across = self._cv2.Sobel(self._levels, self._cv2.CV_32F, 1, 0, scale=1 / 8)
        self._down = self._cv2.Sobel(self._levels, self._cv2.CV_32F, 0, 1, scale=1 / 8)
        strength = self._across**2 + self._down**2
        edge = max(2, round(0.04 * min(height, width)))
        inner = np.zeros((height, width), np.bool_)
        inner[edge:-edge, edge:-edge] = True
        self._edges = inner & (strength >= np.quantile(strength[inner], 0.85))

    def shift_of(self, frame: Float) -> tuple[float, float]:
        """Shift (x, y) in pixels by which `frame` must be moved to lie over the reference."""
        small = self._reduced(frame)
        # copies: OpenCV 5 multiplies its window into what it is given
        phase, _ = self._cv2.phaseCorrelate(small.copy(), self._levels.copy(), self._window)
        still = np.zeros(2)
        tried = [still, *(self._refined(small, start) for start in (still, np.array(phase)))]
        sizes = [np.abs(self._residual(small, shift)) for shift in tried]
        # a plume is out of the question wherever the frame lies: what it adds is cut off
        most = 4 * min(float(np.median(size)) for size in sizes) + 1
        left = [float(np.minimum(size, most).mean()) for size in sizes]
        at = int(np.argmin(left))
        best, far = tried[at], np.abs(tried[at]).max()
        if far < _LEAST or left[at] > left[0] * _GAIN:
            return 0.0, 0.0
        return float(best[0] / self._scale), float(best[1] / self._scale)

    def _reduced(self, levels: Float) -> Float:
        levels = self._cv2.GaussianBlur(levels.astype(np.float32), (0, 0), 0.8 / self._scale)
        if self._scale == 1:
            return levels
        scale, area = self._scale, self._cv2.INTER_AREA
        return np.asarray(
            self._cv2.resize(levels, None, fx=scale, fy=scale, interpolation=area), np.float32
        )

    def _residual(self, frame: Float, shift: NDArray[np.float64]) -> Float:
        there = moved(frame, (float(shift[0]), float(shift[1]))) - self._levels
        return np.asarray((there - np.median(there))[self._edges], np.float32)

    def _refined(self, frame: Float, start: NDArray[np.float64]) -> NDArray[np.float64]:
        shift = start.copy()
        slope: NDArray[np.float64] = np.stack(
            [self._across[self._edges], self._down[self._edges]], axis=1
        )
        for limit in _LIMITS:
            residual = self._residual(frame, shift)
            size = np.abs(residual)
            agree = size <= limit * np.median(size) + 0.5
            normal = slope[agree].T @ slope[agree]
            if np.linalg.cond(normal) > 1e6:
                return start
            # moving the frame by d changes it by -slope . d
            step = np.linalg.solve(normal, slope[agree].T @ residual[agree])
            shift += np.clip(step, -1, 1)
            if np.abs(step).max() < 0.01:
                break
        return np.asarray(shift, np.float64)


def shifts_of(frames: Sequence[NDArray[np.uint8]], still: StillPicture) -> list[Shift]:
    """Shift of each frame of a run over its still picture, as of `StillPicture.shift_of`.

    Args:
        frames: (h, w) grey, consecutive.
        still: their still picture.
    """
    found = [still.shift_of(frame.astype(np.float32)) for frame in frames]
    # frames that stand where most stand are known best: from there to both ends
    start = min(range(len(found)), key=lambda at: max(map(abs, found[at])))
    for way in (range(start + 1, len(found)), range(start - 1, -1, -1)):
        before = start
        for at in way:
            x, y = (found[at][axis] - found[before][axis] for axis in (0, 1))
            if max(abs(x), abs(y)) > _JUMP:
                other = StillPicture(frames[before].astype(np.float32))
                step = other.shift_of(frames[at].astype(np.float32))
                if max(abs(x - step[0]), abs(y - step[1])) > _JUMP:
                    found[at] = (found[before][0] + step[0], found[before][1] + step[1])
            before = at
    return found


def moved(picture: Float, shift: tuple[float, float], *, nearest: bool = False) -> Float:
    """Move a picture by (x, y) pixels; what comes in from outside repeats the border."""
    if shift == (0.0, 0.0):
        return picture
    cv2 = need("cv2", extra="train")
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    height, width = picture.shape
    return np.asarray(
        cv2.warpAffine(
            picture,
            matrix,
            (width, height),
            flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )
