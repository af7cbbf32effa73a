"""Share pictures out to train, val and test, so that no scene and no picture stands on two sides.

Pictures of one group stay together, and so do groups that hold the same picture, byte for byte or
by its view, in whichever data set. The shares are a function of (names, groups, pairs, seed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

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
    side: str | None = None  # the split that it is for, by its data set's settings or by a list
    look: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)  # (1024,)


def split(
    pictures: Sequence[Picture],
    config: SplitConfig,
    same: Iterable[tuple[int, int]] = (),
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Share out.

    Args:
        pictures: of all data sets.
        config: shares and seed.
        same: pairs of positions in `pictures` that show the same view: their groups are joined.

    Returns:
        Data set -> split -> stems, sorted.

    Raises:
        InputError: when a data set has too few groups for the wanted splits, or pictures that
            belong together are wanted on two sides.
    """
    cluster = _clusters(pictures, same)
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
        side = _wanted_side(members[name]) or max(lack, key=lambda s: (lack[s], wanted[home][s]))
        for picture in members[name]:
            out[picture.data][side].append(picture.stem)
            taken[picture.data][side] += 1
    for data in data_sets:
        for side in SPLITS:
            if wanted[data][side] and not out[data][side]:
                raise InputError(_too_few(data, pictures, cluster))
    return {d: {s: tuple(sorted(stems)) for s, stems in out[d].items()} for d in data_sets}


def _too_few(data: str, pictures: Sequence[Picture], cluster: Mapping[tuple[str, str], str]) -> str:
    groups = {p.group for p in pictures if p.data == data}
    joined = len({cluster[data, group] for group in groups})
    once = f", {joined} once those of the same view are joined," if joined < len(groups) else ""
    return (
        f"{data}: its {len(groups)} group(s){once} cannot fill train, val and test; name a finer "
        "group column, lower [split] val and test, or give the whole data set one side"
    )


def _wanted(pictures: Sequence[Picture], config: SplitConfig) -> Mapping[str, dict[str, float]]:
    count: dict[tuple[str, str | None], int] = {}
    for picture in pictures:
        key = picture.data, picture.side
        count[key] = count.get(key, 0) + 1
    shares = {"train": 1 - config.val - config.test, "val": config.val, "test": config.test}
    wanted = {picture.data: dict.fromkeys(SPLITS, 0.0) for picture in pictures}
    for (data, side), n in count.items():
        for each, share in shares.items():
            wanted[data][each] += n * (float(each == side) if side else share)
    return wanted


def _wanted_side(members: Sequence[Picture]) -> str | None:
    """The side that pictures which are for one side alone draw their cluster to."""
    sides = {picture.side: picture for picture in members if picture.side}
    if len(sides) > 1:
        (one, first), (other, second) = sorted(sides.items())[:2]
        raise InputError(
            f"{first.data}/{first.stem} is for {one} alone, {second.data}/{second.stem} for "
            f"{other}, yet they belong together; take one of both groups out"
        )
    return next(iter(sides), None)


def _clusters(
    pictures: Sequence[Picture], same: Iterable[tuple[int, int]]
) -> dict[tuple[str, str], str]:
    """Join groups that share a picture or a view; gives each (data, group) its cluster's name."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(of: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(of, of) != of:
            parent[of] = parent[parent[of]]
            of = parent[of]
        return of

    def join(one: Picture, other: Picture) -> None:
        low, high = sorted((root((one.data, one.group)), root((other.data, other.group))))
        parent[high] = low

    first: dict[str, Picture] = {}
    for picture in pictures:
        join(picture, first.setdefault(picture.content, picture))
    for one, another in same:
        join(pictures[one], pictures[another])
    return {key: "/".join(root(key)) for key in list(parent)}
