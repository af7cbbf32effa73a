"""Whether what looks like gas moves, and whether the whole picture changes at once.

A cloud bank, a stain on a wall and dirt on the lens look like a plume and stand still; a gain jump,
a lamp or a knock against the camera changes everything. The picture is followed on the cells of the
mask: a slow average of each cell is its background, the smoothed distance from it its unrest, and
the unrest of the rest of the picture is what noise, compression and weather make of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from edge_runtime.leaks.persistence import weight_of
from edge_runtime.pixels import CameraPicture, bright_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MotionField"]

# Brightness is the sum of three channels here, 0..765.
_EVERY_S = 0.08  # pictures that come faster add nothing but cost
_BACKGROUND_S = 1.0
_UNREST_S = 1.5
_LEAST_UNREST = 1.0  # a third of a grey level: less is rounding
_FEWEST = 0.05  # share of the cells that tells the unrest of the rest of the picture
_GAIN = 0.1  # a larger change is no flicker but another picture
_JUMP = 24.0  # eight grey levels
_JUMP_SHARE = 0.5  # of the cells
_SETTLE_S = 1.0
_LONGEST_S = 3.0  # a picture that never rests has to be judged as it is


class MotionField:
    """Unrest of one camera's picture.

    Args:
        shape: rows and columns of the grid.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._background: NDArray[np.float32] | None = None
        self._unrest = np.zeros(shape, np.float32)
        self._at_s = 0.0
        self._jumped_s: float | None = None  # last whole-scene change
        self._restless_since_s: float | None = None

    def update(self, picture: CameraPicture, gas: NDArray[np.bool_] | None, at_s: float) -> None:
        """Take in a picture, and which (rows, columns) cells may be gas."""
        if self._background is not None and at_s - self._at_s < _EVERY_S:
            return
        rows, columns = self._shape
        now = bright_cells(picture, columns, rows)
        if self._background is None:
            self._background, self._at_s = now, at_s
            return
        passed_s, self._at_s = at_s - self._at_s, at_s
        now *= np.float32(self._gain(now, gas))
        change = now - self._background
        distance = np.abs(change)
        if np.count_nonzero(distance > _JUMP) > _JUMP_SHARE * distance.size:
            self._jumped_s = at_s
            if self._restless_since_s is None:
                self._restless_since_s = at_s
            if not self.is_restless(at_s):
                self._background = now
                return
        elif self._jumped_s is not None and at_s - self._jumped_s >= _SETTLE_S:
            self._jumped_s = self._restless_since_s = None
        self._background += change * np.float32(weight_of(passed_s, _BACKGROUND_S))
        distance -= self._unrest
        self._unrest += distance * np.float32(weight_of(passed_s, _UNREST_S))

    def _gain(self, now: NDArray[np.float32], gas: NDArray[np.bool_] | None) -> float:
        """What undoes a small change of the camera's gain or of the light as a whole."""
        assert self._background is not None  # noqa: S101 - called with one
        where = np.s_[:] if gas is None else ~gas
        lit = int(now[where].astype(np.int64).sum())
        before = int(self._background[where].astype(np.int64).sum())
        return min(max(before / lit, 1 - _GAIN), 1 + _GAIN) if lit else 1.0

    def is_disturbed(self, at_s: float) -> bool:
        """Whether the whole picture changes, or just did; for three seconds on end at most."""
        if self._jumped_s is None or self.is_restless(at_s):
            return False
        return at_s - self._jumped_s < _SETTLE_S

    def is_restless(self, at_s: float) -> bool:
        """Whether the whole picture has been changing for so long that its motion tells nothing."""
        since_s = self._restless_since_s
        return since_s is not None and at_s - since_s >= _LONGEST_S

    def quiet(self, gas: NDArray[np.bool_]) -> float:
        """Unrest of the picture away from the (rows, columns) cells of gas: the median."""
        cv2 = need("cv2", extra="cpu")
        near = cv2.dilate(gas.view(np.uint8), np.ones((3, 3), np.uint8))
        rest = self._unrest[near == 0]
        if len(rest) < _FEWEST * gas.size:
            rest, share = self._unrest.ravel(), 0.1
        else:
            share = 0.5
        middle = int(len(rest) * share)
        return max(float(np.partition(rest, middle)[middle]), _LEAST_UNREST)

    def unrest(self, cells: NDArray[np.intp]) -> float:
        """Unrest of some cells, by flat index: the upper quartile, for plumes move in parts."""
        found = self._unrest.ravel()[cells]
        upper = (3 * (len(found) - 1)) // 4
        return float(np.partition(found, upper)[upper])
