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
    beside: tuple[tuple[str, NDArray[np.uint8]], ...] = ()  # other results to hold it against


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    key: float
    number: int  # of the offer: no two are alike, so pictures are never compared
    picture: ShownPicture
    group: str | None


class Gallery:
    """The lowest and the highest of what is offered, by a rank; of a group only one at either end.

    Args:
        shown: how many of either end are kept.
    """

    def __init__(self, shown: int = SHOWN) -> None:
        self._shown = shown
        self._low: list[_Kept] = []
        self._high: list[_Kept] = []
        self._offered = 0

    def offer(
        self, rank: float, make: Callable[[], ShownPicture], group: str | None = None
    ) -> None:
        """Keep the picture if its rank is among the ends; equal ranks keep the earlier one.

        Args:
            rank: its place.
            make: gives the picture, called only if it is kept.
            group: of near-copies; None where it is like no other.
        """
        self._offered += 1
        made: ShownPicture | None = None
        for kept, key in ((self._low, rank), (self._high, -rank)):
            like = next((each for each in kept if group is not None and each.group == group), None)
            last = like or (kept[-1] if len(kept) == self._shown else None)
            if last is None or key < last.key:
                if last:
                    kept.remove(last)
                made = made or make()
                bisect.insort(kept, _Kept(key, self._offered, made, group))

    def lowest(self) -> list[ShownPicture]:
        """Pictures of the lowest rank, lowest first."""
        return [each.picture for each in self._low]

    def highest(self) -> list[ShownPicture]:
        """Pictures of the highest rank, highest first."""
        return [each.picture for each in self._high]

    def ends(self) -> tuple[list[ShownPicture], list[ShownPicture]]:
        """`lowest` and `highest` with no picture in both: few pictures are halved."""
        low = self._low[: (self._offered + 1) // 2]
        shown = {each.number for each in low}
        high = [each.picture for each in self._high if each.number not in shown]
        return [each.picture for each in low], high
