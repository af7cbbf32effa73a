"""Two configurations on the same test pictures, seed by seed."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import ConfigError
from contract.intervals import grouped_interval
from train.picture_counts import read_pictures
from train.study.measures import MEASURES, POOLED, measures_of
from train.study.papers import write_papers
from train.study.runner import Arm, data_names, listed, run_arms, run_folder
from train.study.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.intervals import Interval
    from train.config import TrainConfig
    from train.picture_counts import PictureCounts

__all__ = ["study_compare"]

_log = logging.getLogger(__name__)


def study_compare(
    first: tuple[str, TrainConfig], second: tuple[str, TrainConfig], seeds: int, out: Path
) -> str:
    """Train both with the same seeds and give the difference with its 95 % intervals.

    The splits are drawn for the first. Data sets that both have keep them in the second; data that
    only the second has are for learning alone as far as the comparison goes: it scores the test
    pictures of the data sets that both have.

    Args:
        first: name and configuration.
        second: as `first`.
        seeds: how many, counted up from the first configuration's.
        out: the study's folder; a study that was stopped goes on.

    Returns:
        The result in Markdown.

    Raises:
        ConfigError: when the two cannot be compared.
        GasedgeError: as of a training.
    """
    (name_a, config_a), (name_b, config_b) = first, second
    if name_a == name_b:
        raise ConfigError(f"both configurations are named {name_a}; rename one of the files")
    if config_a.input != config_b.input:
        raise ConfigError(
            f"{name_a} and {name_b} differ in [input]: their scores would not compare"
        )
    shared = _shared(config_a, config_b)
    kept_a = listed(config_a, out)
    # new pictures of the second are still kept away from the test pictures that they resemble
    split_b = config_b.split.model_copy(update={"lists": kept_a.split.lists})
    kept_b = config_b.model_copy(update={"split": split_b})
    numbers = [config_a.learning.seed + at for at in range(seeds)]
    arms = [
        Arm(f"{name}-seed{seed}", _seeded(config, seed))
        for seed in numbers
        for name, config in ((name_a, kept_a), (name_b, kept_b))
    ]
    run_arms(arms, out)
    tested = {
        arm.name: [p for p in read_pictures(run_folder(out, arm.name), "test") if p.data in shared]
        for arm in arms
    }
    pairs = [(tested[f"{name_a}-seed{seed}"], tested[f"{name_b}-seed{seed}"]) for seed in numbers]
    scopes = [*shared, *(["all of them"] if len(shared) > 1 else [])]
    rows: list[list[str]] = []
    facts: dict[str, object] = {}
    for scope in scopes:
        chosen = [
            tuple([p for p in side if scope in (p.data, "all of them")] for side in pair)
            for pair in pairs
        ]
        part = _compared([(a, b) for a, b in chosen])
        facts[scope] = part[1]
        rows += [[scope, *row] for row in part[0]]
    heads = ["test data", "measure", name_a, name_b, "difference", "95 % over seeds"]
    return write_papers(
        out,
        f"{name_b} against {name_a}",
        _notes(name_a, name_b, seeds, shared, pairs[0][0]),
        [([*heads, "95 % over groups"], rows)],
        {"first": name_a, "second": name_b, "seeds": numbers, "data": facts},
        [],
    )


def _seeded(config: TrainConfig, seed: int) -> TrainConfig:
    learning = config.learning.model_copy(update={"seed": seed})
    return config.model_copy(update={"learning": learning})


def _shared(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Names of the data sets that both have; refuses two of one name that are not the same."""

    def tables(config: TrainConfig) -> dict[str, dict[str, object]]:
        every = (*config.data, *config.simulated)
        return {
            name: each.model_dump(exclude={"repeat", "no_machines", "name"})
            for name, each in zip(data_names(config), every, strict=True)
        }

    mine, other = tables(first), tables(second)
    for name in sorted(mine.keys() & other.keys()):
        keys = mine[name].keys() | other[name].keys()
        if changed := sorted(k for k in keys if mine[name].get(k) != other[name].get(k)):
            raise ConfigError(
                f"the data set {name} differs in {', '.join(changed)} between the two; make it the "
                "same, or give it another name in one of them"
            )
    if not mine.keys() & other.keys():
        raise ConfigError("the two have no data set of the same name, so nothing to be tested on")
    if dropped := sorted(mine.keys() - other.keys()):
        _log.info("only the first has %s: not compared", ", ".join(dropped))
    return sorted(mine.keys() & other.keys())


def _compared(
    pairs: list[tuple[list[PictureCounts], list[PictureCounts]]],
) -> tuple[list[list[str]], dict[str, object]]:
    scores = [tuple(measures_of(side) for side in pair) for pair in pairs]
    rows: list[list[str]] = []
    facts: dict[str, object] = {}
    for measure in MEASURES:
        ours = [Spread.of([pair[side][measure] for pair in scores]) for side in (0, 1)]
        difference = Spread.of([b[measure] - a[measure] for a, b in scores])
        groups = _over_groups(pairs, POOLED[measure]) if measure in POOLED else None
        interval = difference.interval
        rows.append(
            [
                measure,
                *(each.text() for each in ours),
                "-" if math.isnan(difference.mean) else f"{difference.mean:+.4f}",
                "-" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}",
                "-" if groups is None else f"{groups.low:+.4f} to {groups.high:+.4f}",
            ]
        )
        facts[measure] = {
            "first": ours[0].as_dict(),
            "second": ours[1].as_dict(),
            "difference": difference.as_dict(),
            "over_groups": None if groups is None else groups.model_dump(),
        }
    return rows, facts


def _over_groups(
    pairs: list[tuple[list[PictureCounts], list[PictureCounts]]],
    measure: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> Interval | None:
    """Interval of the difference of the seeds' mean scores when other groups had been drawn."""
    names = sorted({f"{p.data}/{p.group}" for pair in pairs for p in pair[0]})
    place = {name: at for at, name in enumerate(names)}
    size = pairs[0][0][0].counts.shape
    sums = np.zeros((len(names), len(pairs), 2, *size), np.int64)
    for seed, pair in enumerate(pairs):
        for side, pictures in enumerate(pair):
            for each in pictures:
                sums[place[f"{each.data}/{each.group}"], seed, side] += each.counts

    def difference(pooled: NDArray[np.int64]) -> NDArray[np.float64]:
        scores = measure(pooled)  # (n, seeds, 2)
        return np.asarray((scores[..., 1] - scores[..., 0]).mean(-1))

    return grouped_interval(sums, difference)


def _notes(
    first: str, second: str, seeds: int, shared: list[str], pictures: list[PictureCounts]
) -> list[str]:
    groups = len({(each.data, each.group) for each in pictures})
    done = (
        f"{first} and {second}, {seeds} seeds each, on the same splits, tested on the same "
        f"{len(pictures)} pictures of {groups} groups of {', '.join(shared)}; no group of them "
        "is in training, and the best epoch was chosen on validation."
    )
    reading = (
        f"Values are mean ± standard deviation over seeds; the difference is {second} less "
        f"{first}, paired by seed. Over seeds: 95 % interval of the mean difference (Student's "
        "t): what other seeds may change. Over groups: 95 % of the mean difference when the test "
        "groups are drawn anew (cluster bootstrap): what other scenes may change; too narrow "
        "where groups are few."
    )
    return [done, reading]
