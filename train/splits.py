"""Share pictures out to train, val and test, so that no scene and no picture stands on two sides.

Pictures of one group stay together, and so do groups that hold byte-for-byte the same picture, in
whichever data set. The shares are a function of (names, groups, seed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from train.config import SplitConfig

__all__ = ["SPLITS", "Picture", "split"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Picture:
    """What the split needs to know of one picture."""

    data: str  # name of the data set
    stem: str
    group: str
    content: str  # equal for equal pictures


def split(
    pictures: Sequence[Picture], config: SplitConfig
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Share out.

    Returns:
        Data set -> split -> stems, sorted.

    Raises:
        InputError: when a data set has too few groups for the wanted splits.
    """
    cluster = _clusters(pictures)
    members: dict[str, list[Picture]] = {}
    for picture in pictures:
        members.setdefault(cluster[picture.data, picture.group], []).append(picture)
    data_sets = sorted({picture.data for picture in pictures})
    wanted = _wanted(pictures, config)
    taken = {data: dict.fromkeys(SPLITS, 0) for data in data_sets}
    out: dict[str, dict[str, list[str]]] = {data: {s: [] for s in SPLITS} for data in data_sets}
    order = sorted(members)
    np.random.default_rng([config.seed, 23]).shuffle(order)
    # large clusters first, while there is room for them; the shuffle decides among equals
    order.sort(key=lambda name: -len(members[name]))
    for name in order:
        # the data set that has most of the cluster decides
        homes = [picture.data for picture in members[name]]
        home = max(sorted(set(homes)), key=homes.count)
        lack = {s: 1 - taken[home][s] / wanted[home][s] for s in SPLITS if wanted[home][s]}
        side = max(lack, key=lambda s: (lack[s], wanted[home][s]))
        for picture in members[name]:
            out[picture.data][side].append(picture.stem)
            taken[picture.data][side] += 1
    for data in data_sets:
        for side in SPLITS:
            if wanted[data][side] and not out[data][side]:
                groups = len({p.group for p in pictures if p.data == data})
                raise InputError(
                    f"{data}: its {groups} group(s) cannot fill train, val and test; "
                    "name a finer group column, or lower [split] val and test"
                )
    return {d: {s: tuple(sorted(stems)) for s, stems in out[d].items()} for d in data_sets}


def _wanted(pictures: Sequence[Picture], config: SplitConfig) -> Mapping[str, dict[str, float]]:
    count: dict[str, int] = {}
    for picture in pictures:
        count[picture.data] = count.get(picture.data, 0) + 1
    shares = {"train": 1 - config.val - config.test, "val": config.val, "test": config.test}
    return {data: {s: share * n for s, share in shares.items()} for data, n in count.items()}


def _clusters(pictures: Sequence[Picture]) -> dict[tuple[str, str], str]:
    """Join groups that share a picture; gives each (data, group) its cluster's name."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(of: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(of, of) != of:
            parent[of] = parent[parent[of]]
            of = parent[of]
        return of

    first: dict[str, tuple[str, str]] = {}
    for picture in pictures:
        here = root((picture.data, picture.group))
        other = root(first.setdefault(picture.content, (picture.data, picture.group)))
        low, high = sorted((here, other))
        parent[high] = low
    return {key: "/".join(root(key)) for key in list(parent)}
