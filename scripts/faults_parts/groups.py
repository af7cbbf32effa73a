"""All groups of faults, in the order in which they are done."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from . import (
    brokers,
    cameras,
    certificates,
    clocks,
    cuda,
    disks,
    floods,
    memory,
    models,
    processes,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .fault import Fault, Outcome

__all__ = ["NAMES", "rows", "together"]

_ROWS: dict[str, Callable[[], Iterable[Fault]]] = {
    "cameras": cameras.rows,
    "brokers": brokers.rows,
    "floods": floods.rows,
    "disk": disks.rows,
    "clock": clocks.rows,
    "certificates": certificates.rows,
    "memory": memory.rows,
    "configuration": settings.rows,
    "bundles": models.bundles,
    "engines": models.engines,
    "updates": models.updates,
    "cuda": cuda.rows,
}
NAMES = ("processes", *_ROWS)


def rows(wanted: Sequence[str], *, kills: int, seed: int) -> Iterator[Fault]:
    """The rows of some groups.

    Args:
        wanted: their names.
        kills: how many processes are killed or stopped.
        seed: of when and which.
    """
    if "processes" in wanted:
        yield from processes.rows(kills, seed)
    for name, of_group in _ROWS.items():
        if name in wanted:
            yield from of_group()


def together(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Rows of the same fault as one: the slowest, the worst and how often."""
    found: dict[tuple[str, str], Outcome] = {}
    for each in outcomes:
        key = each.fault.group, each.fault.name
        before = found.get(key)
        if before is None:
            found[key] = each
            continue
        found[key] = dataclasses.replace(
            before,
            detected_s=_most(before.detected_s, each.detected_s),
            recovered_s=_most(before.recovered_s, each.recovered_s),
            lost=before.lost if each.lost == "0" else each.lost,
            faults=before.faults + each.faults,
            times=before.times + 1,
        )
    return list(found.values())


def _most(one: float | None, other: float | None) -> float | None:
    return max((x for x in (one, other) if x is not None), default=None)
