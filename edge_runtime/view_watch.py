"""Whether a camera still shows the view it learned: moved, covered or out of focus are told apart.

The view is known by its structure, edges and texture without their light, averaged over minutes so
that noise and whatever passes falls out of it. It is compared block by block: a plume, people or a
shadow take some blocks; a moved camera takes all of them. A shift is looked for first (phase
correlation, Kuglin and Hines, 1975), so a mast that sways by a percent or two is not called moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from edge_runtime.look import BLOCKS, VIEW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.tags import HealthCode
    from edge_runtime.look import Look

__all__ = ["LearnedView", "SeenView", "Sight", "ViewWatch", "is_same_view"]

_LEARN_S = 1.5  # for so long a new view must have stayed the same
_FOLLOW_S = 120.0  # seasons, growth and the sun change a view; a knock does not take minutes
_LONGEST_STEP_S = 1.0
_SAME_BLOCK = 0.5  # correlation
_KNOWN, _LOST = 0.4, 0.2  # share of the view's blocks that are the same
_SURE = 0.75
_TEXTURED = 1.0  # mean square of a block with structure, grey levels, and ...
_TEXTURED_SHARE = 0.1  # ... as a share of the view's mean
_FEWEST_BLOCKS = 6
_SHIFT = 1.5  # of the view's pixels, 1/64 of the width
_BETTER = 0.2  # by so many blocks a shifted view must fit better
_GONE = 0.15  # of the view's usual structure
_SAME_LAYOUT = 0.8  # correlation of the blocks' brightness
_FEW_EDGES, _MANY_EDGES = 0.4, 0.6  # of the view's usual, for the light there is
_FLAT_LAYOUT, _FLAT_STRUCTURE = 1.5, 1.0  # grey levels
_WINDOW = np.outer(np.hanning(VIEW[1]), np.hanning(VIEW[0])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LearnedView:
    """What a view is known by.

    Raises:
        ValueError: when it is of other shapes than those of a look.
    """

    structure: NDArray[np.float32]  # VIEW, rows first
    layout: NDArray[np.float32]  # BLOCKS, rows first

    def __post_init__(self) -> None:
        shapes = self.structure.shape, self.layout.shape
        if shapes != (VIEW[::-1], BLOCKS[::-1]):
            raise ValueError(f"a view of shapes {shapes} is none")


@dataclass(frozen=True, slots=True)
class SeenView:
    """What a camera shows at present."""

    faults: HealthCode
    view: LearnedView | None  # None while none is learned
    watched: bool  # false for a camera that turns by itself


class Sight(Enum):
    """What a picture says about the view."""

    LEARNING = "no view is known yet"
    KNOWN = "the view that was learned"
    UNSURE = "some of it"
    MOVED = "another view, or the same elsewhere in the picture"
    BLURRED = "the same light and shade without edges"
    COVERED = "nothing to be seen"


class ViewWatch:
    """Learns the view of one camera and compares each picture with it; without a clock."""

    def __init__(self) -> None:
        self._view: NDArray[np.float32] | None = None
        self._layout = np.zeros(BLOCKS[::-1], np.float32)
        self._before: NDArray[np.float32] | None = None
        self._at_s = 0.0
        self._same_since_s: float | None = None
        self._learned = False

    @property
    def learned(self) -> LearnedView | None:
        """A copy of the view, once it is learned."""
        if self._view is None or not self._learned:
            return None
        return LearnedView(self._view.copy(), self._layout.copy())

    def recall(self, view: LearnedView) -> None:
        """Go on with a view that was learned before."""
        self._view, self._layout = view.structure.copy(), view.layout.copy()
        self._learned = True

    def saw(self, look: Look, now_s: float, *, learn: bool) -> Sight:
        """Compare a picture with the view, and learn from it where it fits.

        Args:
            look: of the picture.
            now_s: when it was taken, monotonic.
            learn: whether nothing else is wrong with it.
        """
        before, self._before = self._before, look.structure
        passed_s, self._at_s = min(now_s - self._at_s, _LONGEST_STEP_S), now_s
        if before is None:
            before = look.structure
        if _is_flat(look, before):
            return Sight.COVERED
        if self._view is None or not self._learned:
            if learn:
                self._learn(look, now_s, passed_s)
            return Sight.LEARNING
        sight = self._compared(look, self._view, before)
        if learn and sight is Sight.KNOWN:
            self._follow(look, passed_s / _FOLLOW_S)
        return sight

    def _learn(self, look: Look, now_s: float, passed_s: float) -> None:
        if self._view is None:
            self._view, self._layout = look.structure.copy(), look.layout.copy()
            self._same_since_s = now_s
            return
        blocks, same = _same_blocks(self._view, look.structure)
        if blocks < _FEWEST_BLOCKS or same < _KNOWN:
            self._same_since_s = now_s  # it changes, or shows nothing by which to know it
        self._follow(look, min(1.0, passed_s / _LEARN_S))
        self._learned = now_s - (self._same_since_s or now_s) >= _LEARN_S

    def _follow(self, look: Look, share: float) -> None:
        if self._view is not None:
            self._view += np.float32(share) * (look.structure - self._view)
            self._layout += np.float32(share) * (look.layout - self._layout)

    def _compared(
        self, look: Look, view: NDArray[np.float32], before: NDArray[np.float32]
    ) -> Sight:
        blocks, same = _same_blocks(view, look.structure)
        soft = self._is_soft(look, view)
        if (same >= _SURE and not soft) or blocks < _FEWEST_BLOCKS:
            return Sight.KNOWN
        shift, there = _shifted(view, look.structure)
        if shift >= _SHIFT and there >= max(_KNOWN, same + _BETTER):
            return Sight.MOVED
        if soft:
            return Sight.BLURRED
        same = max(same, there if shift < _SHIFT else 0.0)
        if same >= _LOST:
            return Sight.KNOWN if same >= _KNOWN else Sight.UNSURE
        # nothing of it is left: has anything taken its place? Noise does not last from one picture
        # to the next, structure does.
        lasting = _mean_product(look.structure, before)
        return Sight.MOVED if lasting >= _GONE * _mean_product(view, view) else Sight.COVERED

    def _is_soft(self, look: Look, view: NDArray[np.float32]) -> bool:
        """Whether light and shade are as they were, and the edges have gone."""
        left = _mean_product(look.structure, view) / max(_mean_product(view, view), 1e-6)
        if left >= _MANY_EDGES:
            return False
        now, usual = look.layout - look.layout.mean(), self._layout - self._layout.mean()
        common, size = float(np.vdot(now, usual)), float(np.vdot(usual, usual))
        alike = common >= _SAME_LAYOUT * float(np.sqrt(np.vdot(now, now) * size))
        # less light dims both alike; a lens out of focus takes the edges alone
        return alike and left * size < _FEW_EDGES * common


def is_same_view(reference: LearnedView, present: LearnedView) -> bool | None:
    """Whether a camera still shows its reference view; None where that has nothing to know it by.

    A view that is learned follows what changes slowly, a mast that sinks among it; a reference
    does not.
    """
    blocks, same = _same_blocks(reference.structure, present.structure)
    if blocks < _FEWEST_BLOCKS:
        return None
    shift, there = _shifted(reference.structure, present.structure)
    moved = shift >= _SHIFT and there >= max(_KNOWN, same + _BETTER)
    return same >= _KNOWN and not moved


def _is_flat(look: Look, before: NDArray[np.float32]) -> bool:
    """Whether a picture shows nothing at all, neither large nor small."""
    lasting = _mean_product(look.structure, before)
    return lasting < _FLAT_STRUCTURE**2 and float(look.layout.std()) < _FLAT_LAYOUT


def _same_blocks(view: NDArray[np.float32], now: NDArray[np.float32]) -> tuple[int, float]:
    """How many blocks of the view have structure, and the share of them that `now` has, too."""
    usual, present, common = _blocks(view * view), _blocks(now * now), _blocks(view * now)
    textured = usual > max(_TEXTURED, _TEXTURED_SHARE * float(usual.mean()))
    count = int(np.count_nonzero(textured))
    if not count:
        return 0, 0.0
    alike = common > _SAME_BLOCK * np.sqrt(usual * present)
    return count, np.count_nonzero(alike & textured) / count


def _blocks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    cv2 = need("cv2", extra="cpu")
    return np.asarray(cv2.resize(values, BLOCKS, interpolation=cv2.INTER_AREA), np.float32)


def _shifted(view: NDArray[np.float32], now: NDArray[np.float32]) -> tuple[float, float]:
    """How far `now` is shifted against the view, and the share of blocks that fit there."""
    cv2 = need("cv2", extra="cpu")
    # given a window, OpenCV may write into the pictures themselves
    (x, y), _ = cv2.phaseCorrelate(view * _WINDOW, now * _WINDOW)
    moved = np.array([[1, 0, round(x)], [0, 1, round(y)]], np.float32)
    there = cv2.warpAffine(view, moved, VIEW, flags=cv2.INTER_NEAREST)
    blocks, same = _same_blocks(there, now)
    return float(np.hypot(x, y)), same if blocks >= _FEWEST_BLOCKS else 0.0


def _mean_product(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.vdot(one, other)) / one.size
