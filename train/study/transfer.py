"""What smoke buys when labelled gas frames are few: the thesis of the 2020 study, as a curve.

Every training of the gas stage takes the same steps, is validated and tested on the same gas frames
and starts from the same initial weights; in one half of them the network learned smoke in between.
The few frames of a seed are contained in its many.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

from contract.atomic import write_bytes, write_text
from contract.data_folder import read_stems
from contract.errors import ConfigError
from train.datasets import ValidationFrames, gather
from train.networks.checkpoint import network_from_checkpoint
from train.picture_counts import counts_of, read_pictures
from train.run_folder import result_file
from train.scoring import score_split
from train.splits import SPLITS
from train.study.curve import draw_curve
from train.study.measures import MEASURES, measures_of
from train.study.papers import write_papers
from train.study.runner import Arm, data_names, listed, run_arms, run_folder
from train.study.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from train.config import TrainConfig

__all__ = ["study_transfer"]

_WAYS = ("gas alone", "smoke, then gas")


def study_transfer(
    config: TrainConfig, gas: Sequence[str], gas_frames: Sequence[int], seeds: int, out: Path
) -> str:
    """Train on few and many gas frames, with and without smoke before, and draw the curve.

    Args:
        config: of all trainings. The data sets named by `gas` are the gas; the others are the
            smoke that comes before.
        gas: names of data sets; none takes those of simulated gas.
        gas_frames: how many gas frames there are to learn from, each for one point of the curve.
        seeds: how many, counted up from the configuration's.
        out: the study's folder; a study that was stopped goes on.

    Returns:
        The result in Markdown.

    Raises:
        ConfigError: when the data cannot serve the study.
        GasedgeError: as of a training.
    """
    gas = _gas_names(config, gas)
    kept = listed(config, out)
    frames = _training_frames(out, gas)
    counts = sorted(set(gas_frames))
    if counts[-1] > len(frames):
        raise ConfigError(
            f"{', '.join(gas)}: {len(frames)} frames are for training, {counts[-1]} are wanted; "
            "lower --gas-frames or [split] val and test"
        )
    smoke = _only(kept, set(data_names(kept)) - set(gas))
    arms: list[Arm] = []
    for seed in range(config.learning.seed, config.learning.seed + seeds):
        arms.append(Arm(f"smoke-seed{seed}", _seeded(smoke, seed)))
        for count in counts:
            few = _few(kept, gas, frames, count, max(counts), seed, out)
            arms.append(Arm(_name(count, 0, seed), few))
            arms.append(Arm(_name(count, 1, seed), few, start=f"smoke-seed{seed}"))
    run_arms(arms, out)
    numbers = range(config.learning.seed, config.learning.seed + seeds)
    curve = {
        way: {
            count: _spreads(
                [
                    measures_of(read_pictures(run_folder(out, _name(count, at, seed)), "test"))
                    for seed in numbers
                ]
            )
            for count in counts
        }
        for at, way in enumerate(_WAYS)
    }
    without = _spreads(_smoke_alone(_only(kept, gas), out, numbers))
    drawn = draw_curve(curve, without)
    write_bytes(out / "curve.svg", drawn)
    facts = {
        "seeds": list(numbers),
        "gas": list(gas),
        "steps": _steps(out, arms),
        "no gas frames": {key: each.as_dict() for key, each in without.items()},
        **{
            way: {
                str(count): {key: each.as_dict() for key, each in spreads.items()}
                for count, spreads in points.items()
            }
            for way, points in curve.items()
        },
    }
    return write_papers(
        out,
        "Smoke before gas, by the number of labelled gas frames",
        _notes(config, gas, out, arms, seeds),
        [_table(curve, without)],
        facts,
        [f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}">'],
    )


def _gas_names(config: TrainConfig, gas: Sequence[str]) -> tuple[str, ...]:
    known = data_names(config)
    simulated = known[len(config.data) :]
    names = tuple(gas) or tuple(
        name for name, each in zip(simulated, config.simulated, strict=True) if each.kind == "gas"
    )
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"there is no data set {unknown[0]}; they are {', '.join(known)}")
    if not names or set(names) == set(known):
        raise ConfigError(
            f"of the data sets {', '.join(known)} some must be gas and some smoke; name the gas "
            "with --gas"
        )
    return names


def _training_frames(out: Path, gas: Sequence[str]) -> list[tuple[str, str]]:
    """(data set, stem) of every gas frame that may be learned from."""
    return [
        (name, stem) for name in gas for stem in read_stems(out / "splits" / name / "train.txt")
    ]


def _only(config: TrainConfig, names: Collection[str]) -> TrainConfig:
    """Leave out all data sets but these."""
    chosen = [name in names for name in data_names(config)]
    of_folders, of_scenes = chosen[: len(config.data)], chosen[len(config.data) :]
    return config.model_copy(
        update={
            "data": tuple(d for d, taken in zip(config.data, of_folders, strict=True) if taken),
            "simulated": tuple(
                d for d, taken in zip(config.simulated, of_scenes, strict=True) if taken
            ),
        }
    )


def _few(
    config: TrainConfig,
    gas: Sequence[str],
    frames: list[tuple[str, str]],
    count: int,
    most: int,
    seed: int,
    out: Path,
) -> TrainConfig:
    """Give the gas stage on `count` frames, repeated so that an epoch has as many steps as any."""
    order = np.random.default_rng([seed, 41]).permutation(len(frames))
    chosen = sorted(frames[at] for at in order[:count])
    lists = out / "lists" / f"gas{count}-seed{seed}"
    for name in gas:
        for side in SPLITS:
            text = (out / "splits" / name / f"{side}.txt").read_text(encoding="utf-8")
            if side == "train":
                text = "".join(f"{stem}\n" for data, stem in chosen if data == name)
            write_text(lists / name / f"{side}.txt", text)
    only = _only(config, gas)
    repeat = {"repeat": max(1, round(most / count))}
    only = only.model_copy(
        update={
            "data": tuple(each.model_copy(update=repeat) for each in only.data),
            "simulated": tuple(each.model_copy(update=repeat) for each in only.simulated),
            "split": only.split.model_copy(update={"lists": str(lists.absolute())}),
        }
    )
    return _seeded(only, seed)


def _seeded(config: TrainConfig, seed: int) -> TrainConfig:
    learning = config.learning.model_copy(update={"seed": seed})
    return config.model_copy(update={"learning": learning})


def _name(count: int, way: int, seed: int) -> str:
    return f"gas{count}-{'after-smoke' if way else 'alone'}-seed{seed}"


def _spreads(scores: list[dict[str, float]]) -> dict[str, Spread]:
    return {key: Spread.of([each[key] for each in scores]) for key in MEASURES}


def _smoke_alone(config: TrainConfig, out: Path, seeds: Sequence[int]) -> list[dict[str, float]]:
    """Test on gas the networks that have seen none."""
    data_sets = gather(config)
    frames = ValidationFrames(data_sets, "test", config.input)
    found = []
    for seed in seeds:
        run = run_folder(out, f"smoke-seed{seed}")
        network = network_from_checkpoint(result_file(run)).network
        scored = score_split(network, frames, "test", data_sets, config.learning)
        found.append(measures_of(counts_of(scored.by_data)))
    return found


def _steps(out: Path, arms: Sequence[Arm]) -> dict[str, int]:
    """Steps of each training over all its epochs."""
    steps: dict[str, int] = {}
    for arm in arms:
        papers = network_from_checkpoint(result_file(run_folder(out, arm.name))).training
        of_best, best, epochs = (int(papers[key] or 0) for key in ("steps", "best_epoch", "epochs"))
        steps[arm.name] = of_best // best * epochs
    return steps


def _table(
    curve: dict[str, dict[int, dict[str, Spread]]], without: dict[str, Spread]
) -> tuple[list[str], list[list[str]]]:
    heads = ["labelled gas frames", "learned", *MEASURES]
    rows = [["0", "smoke", *(without[key].text() for key in MEASURES)]]
    for count in next(iter(curve.values())):
        rows += [
            [str(count), way, *(points[count][key].text() for key in MEASURES)]
            for way, points in curve.items()
        ]
    return heads, rows


def _notes(
    config: TrainConfig, gas: Sequence[str], out: Path, arms: Sequence[Arm], seeds: int
) -> list[str]:
    steps = _steps(out, arms)
    of_gas = sorted({n for name, n in steps.items() if not name.startswith("smoke")})
    of_smoke = sorted({n for name, n in steps.items() if name.startswith("smoke")})
    smoke = [name for name in data_names(config) if name not in gas]
    last = run_folder(out, arms[-1].name) / "splits"
    sides = {
        side: sum(
            len(file.read_text(encoding="utf-8").split()) for file in last.glob(f"*/{side}.txt")
        )
        for side in ("val", "test")
    }
    done = (
        f"Network {config.network.name}, gas: {', '.join(gas)}; smoke: {', '.join(smoke)}; "
        f"{seeds} seeds. Every training on gas takes {' or '.join(map(str, of_gas))} steps, with "
        f"smoke before it or not; learning smoke takes {' or '.join(map(str, of_smoke))} steps "
        f"more. Batch {config.learning.batch}, rate {config.learning.rate:g} in all."
    )
    judged = (
        f"All are tested on the same {sides['test']} gas frames, and choose their best epoch on "
        f"the same {sides['val']}: labels that are not counted among the labelled gas frames. "
        "Frames of one group are on one side only. Which frames are the labelled ones is drawn "
        "at random with the seed."
    )
    reading = (
        "Values are mean ± standard deviation over seeds; IoU pooled over pixels, image means "
        "averaged over pictures."
    )
    return [done, judged, reading]
