"""Keep the worst and the best pictures of a set, however large, to be looked at afterwards."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SHOWN", "Gallery", "ShownPicture"]

SHOWN = 12


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """One picture with what should have been found and what was; kept as copies."""

    caption: str
    frame: NDArray[np.uint8]  # (H, W, 3) BGR
    result: NDArray[np.uint8]  # (H, W) class indices
    truth: NDArray[np.uint8] | None = None  # (H, W) class indices; None where there is no mask
    box: NDArray[np.bool_] | None = None  # (H, W) inside a labelled box


class Gallery:
    """The lowest and the highest of what is offered, by a rank.

    Args:
        shown: how many of either end are kept.
    """

    def __init__(self, shown: int = SHOWN) -> None:
        self._shown = shown
        self._low: list[tuple[float, int, ShownPicture]] = []
        self._high: list[tuple[float, int, ShownPicture]] = []
        self._offered = 0

    def offer(self, rank: float, make: Callable[[], ShownPicture]) -> None:
        """Keep the picture if its rank is among the ends; equal ranks keep the earlier one."""
        self._offered += 1
        made: ShownPicture | None = None
        for kept, key in ((self._low, rank), (self._high, -rank)):
            if len(kept) < self._shown or key < kept[-1][0]:
                made = made or make()
                bisect.insort(kept, (key, self._offered, made))
                del kept[self._shown :]

    def lowest(self) -> list[ShownPicture]:
        """Pictures of the lowest rank, lowest first."""
        return [picture for _, _, picture in self._low]

    def highest(self) -> list[ShownPicture]:
        """Pictures of the highest rank, highest first."""
        return [picture for _, _, picture in self._high]

    def ends(self) -> tuple[list[ShownPicture], list[ShownPicture]]:
        """`lowest` and `highest` with no picture in both: few pictures are halved."""
        low = self._low[: (self._offered + 1) // 2]
        shown = {number for _, number, _ in low}
        high = [picture for _, number, picture in self._high if number not in shown]
        return [picture for _, _, picture in low], high
