"""Hold the accuracy budget by the fewest layers in FP16.

Layers are ranked by their damage. The worst go to FP16, more of them each time, until the budget
holds on the control set. Then each is tried in INT8 again, the least harmful first, and stays
there if the budget holds without it. What is left cannot spare any one of its layers; that no
quite different set would be smaller is not proven, for that all sets would have to be tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.card import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["MOST_IN_FP16", "Held", "hold_budget", "holds"]

# of the convolutions; with more, INT8 gains too little over FP16 to be called so
MOST_IN_FP16 = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """Where the search ended."""

    fp16: frozenset[str]
    holds: bool
    iou_drop: float
    in_int8: Mapping[str, float]  # layer of `fp16` -> the drop with it back in INT8
    attempts: tuple[Attempt, ...]


def holds(drop: float, budget: float) -> bool:
    """Whether a loss of gas-smoke IoU is within the budget; one that is no number never is."""
    return drop <= budget


def hold_budget(
    drop_of: Callable[[frozenset[str]], float],
    ranked: Sequence[str],
    budget: float,
    *,
    at_first: float,
) -> Held:
    """Find layers for FP16.

    Args:
        drop_of: gas-smoke IoU lost on the control set with the given layers in FP16.
        ranked: layers that are INT8 now, the most harmful first.
        budget: the most that may be lost.
        at_first: what is lost with none of them in FP16, more than the budget.
    """
    attempts = [Attempt(fp16=(), iou_drop=at_first)]

    def tried(layers: frozenset[str]) -> float:
        drop = drop_of(layers)
        listed = tuple(name for name in ranked if name in layers)
        attempts.append(Attempt(fp16=listed, iou_drop=drop))
        return drop

    most = int(len(ranked) * MOST_IN_FP16)
    found, drop, before, more = frozenset[str](), at_first, 0, 1
    while not holds(drop, budget) and before < most:
        before, more = min(before + more, most), before or 1  # 1, 2, 3, 5, 8, 13, ...
        found = frozenset(ranked[:before])
        drop = tried(found)
    if not holds(drop, budget):
        return Held(found, holds=False, iou_drop=drop, in_int8={}, attempts=tuple(attempts))
    in_int8: dict[str, float] = {}
    least_first = ranked[::-1]
    while name := next((n for n in least_first if n in found and n not in in_int8), None):
        # with the only one back the answer is known
        without = at_first if found == {name} else tried(found - {name})
        if holds(without, budget):
            found, drop, in_int8 = found - {name}, without, {}
        else:
            in_int8[name] = without
    return Held(found, holds=True, iou_drop=drop, in_int8=in_int8, attempts=tuple(attempts))
