"""One training from configuration to checkpoint, scores and report; stops and goes on at any time.

Under `torchrun` several processes, on one machine or more, share each batch and give what one
process would give; what a run leaves is told in `train.run_folder`.
"""

from __future__ import annotations

import errno
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError
from train.augment import Augmentation
from train.datasets import TrainingFrames, ValidationFrames, gather
from train.fitting import fit
from train.module import SegmentationModule
from train.networks.frame_network import FrameNetwork
from train.networks.initial_weights import fill_network
from train.networks.registry import build_network
from train.processes import joined
from train.result import TrainingResult, write_result
from train.run_folder import agree_with_earlier, last_state, write_splits

if TYPE_CHECKING:
    from collections.abc import Callable

    from train.config import TrainConfig
    from train.datasets import DataSet
    from train.processes import Processes

__all__ = ["TrainingResult", "train"]

_MEASURED_FRAMES = 64  # for folded BatchNorms
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """All that a training needs, found to be usable."""

    data_sets: list[DataSet]
    frames: TrainingFrames
    sides: dict[str, ValidationFrames]
    module: SegmentationModule
    filled: str  # what the network starts from


def train(
    config: TrainConfig, run: Path, after_epoch: Callable[[int, float], None] | None = None
) -> TrainingResult | None:
    """Train, or go on where `run` was stopped.

    Args:
        config: what to train.
        run: the run's folder; several machines must share it.
        after_epoch: told each finished epoch's number, from 1, and its validation score.

    Returns:
        The result; None in all processes but the first.

    Raises:
        GasedgeError: when data, configuration or disk do not allow it, or the run is done.
        KeyboardInterrupt: on Ctrl-C; the run can be taken up from its last finished epoch.
    """
    try:
        with joined() as processes:
            return _train(config, run, processes, after_epoch)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GasedgeError(
            f"{run}: no space left on this disk; free some and give the same command again"
        ) from error


def _train(
    config: TrainConfig,
    run: Path,
    processes: Processes,
    after_epoch: Callable[[int, float], None] | None,
) -> TrainingResult | None:
    processes.only_first(lambda: agree_with_earlier(config, run))
    goes_on = last_state(run).exists()
    if len(set(processes.gathered((run / "config.json").exists()))) > 1:
        raise ConfigError(f"{run}: not every process sees it; put it on a disk they all share")
    prepared = processes.agreed(lambda: _prepared(config, run, processes, goes_on=goes_on))
    _log.info(
        "%s: %d training and %d validation pictures, %d steps, %s%s",
        run,
        len(prepared.frames),
        len(prepared.sides["val"]),
        _steps(config, prepared.frames),
        "going on from the last finished epoch" if goes_on else prepared.filled,
        f", {processes.size} processes" if processes.size > 1 else "",
    )
    fit(
        prepared.module,
        prepared.frames,
        prepared.sides["val"],
        learning=config.learning,
        run=run,
        processes=processes,
        goes_on=goes_on,
        after_epoch=after_epoch,
    )
    if not processes.first:
        return None
    return write_result(
        config,
        run,
        prepared.module,
        prepared.data_sets,
        prepared.sides,
        prepared.filled,
        went_on=goes_on,
    )


def _prepared(config: TrainConfig, run: Path, processes: Processes, *, goes_on: bool) -> _Prepared:
    learning = config.learning
    if learning.batch % processes.size:
        raise ConfigError(
            f"learning.batch {learning.batch} does not divide over {processes.size} processes; "
            "it counts the pictures of all of them together"
        )
    # the order of set-up decides the random start
    pl.seed_everything(learning.seed, verbose=False)
    data_sets = gather(config)
    if processes.first:
        write_splits(run, data_sets)
    augmentation = Augmentation(config.augment, config.input)
    frames = TrainingFrames(
        data_sets, config.input, augmentation, learning.seed, processes.local_size
    )
    if len(frames) < learning.batch:
        raise ConfigError(
            f"{len(frames)} training pictures do not fill one batch of {learning.batch}; "
            "lower learning.batch"
        )
    # all are read now: a broken test picture must not be found after hours of training
    sides = {side: ValidationFrames(data_sets, side, config.input) for side in ("val", "test")}
    if len(sides["val"]) < processes.size:
        raise ConfigError(
            f"{len(sides['val'])} validation pictures are too few for {processes.size} processes"
        )
    network = FrameNetwork(
        build_network(config.network.name, **config.network.options),
        activation=learning.activation,
    )
    filled = "random start"
    if config.network.initial_weights and goes_on:
        filled = json.loads((run / "initial_weights.json").read_text())["summary"]
    elif config.network.initial_weights:
        filled = _fill(config.network.initial_weights, network, frames, run, processes)
    module = SegmentationModule(
        network, learning, _steps(config, frames), data_sets, run / "metrics.csv", processes
    )
    return _Prepared(data_sets, frames, sides, module, filled)


def _steps(config: TrainConfig, frames: TrainingFrames) -> int:
    return config.learning.epochs * (len(frames) // config.learning.batch)


def _fill(
    weights: str, network: FrameNetwork, frames: TrainingFrames, run: Path, processes: Processes
) -> str:
    filled = fill_network(network, Path(weights), frames.plain(_MEASURED_FRAMES))
    if not processes.first:
        return filled.summary
    for name in filled.random:
        _log.warning("no initial weights for %s: random start", name)
    papers = {
        "file": weights,
        "summary": filled.summary,
        "filled": filled.filled,
        "random": filled.random,
        "unused": filled.unused,
        "statistics_measured": filled.unfolded,
    }
    write_text(run / "initial_weights.json", json.dumps(papers, indent=1) + "\n")
    return filled.summary
