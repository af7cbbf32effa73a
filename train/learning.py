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
import torch

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError
from contract.trained_pictures import TrainedPictures
from train.augment import Augmentation
from train.datasets import TrainingFrames, ValidationFrames, gather
from train.fitting import fit
from train.module import SegmentationModule
from train.networks.frame_network import FrameNetwork
from train.networks.initial_weights import fill_network
from train.networks.registry import build_network
from train.networks.weight_files import require_file
from train.processes import joined
from train.quantize.fine_tuning import for_quantization, quantize
from train.result import Start, TrainingResult, write_result
from train.run_folder import agree_with_earlier, last_state, write_splits

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    start: Start
    goes_on: bool  # from the last finished epoch of a stopped run


def train(config: TrainConfig, run: Path, callbacks: Sequence[pl.Callback] = ()) -> TrainingResult:
    """Train, or go on where `run` was stopped.

    Args:
        config: what to train.
        run: the run's folder; several machines must share it.
        callbacks: more of Lightning's, in every process.

    Raises:
        GasedgeError: when data, configuration or disk do not allow it, or the run is done.
        KeyboardInterrupt: on Ctrl-C; the run can be taken up from its last finished epoch.
        SystemExit: in every process but the first, when its work is done or failed.
    """
    config = for_quantization(config)
    try:
        with joined() as processes:
            fitted = _fitted(config, run, processes, callbacks)
        if not processes.first:
            raise SystemExit(0)
        return write_result(
            config,
            run,
            fitted.module,
            fitted.data_sets,
            fitted.sides,
            fitted.start,
            went_on=fitted.goes_on,
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GasedgeError(
            f"{run}: no space left on this disk; free some and give the same command again"
        ) from error


def _fitted(
    config: TrainConfig,
    run: Path,
    processes: Processes,
    callbacks: Sequence[pl.Callback],
) -> _Prepared:
    if not last_state(run).exists():
        _require_network(config)  # before the folder belongs to a configuration that cannot be
    processes.only_first(lambda: agree_with_earlier(config, run))
    if not all(processes.gathered((run / "config.json").exists())):
        raise ConfigError(f"{run}: not every process sees it; put it on a disk they all share")
    prepared = processes.agreed(lambda: _prepared(config, run, processes))
    _log.info(
        "%s: %d training and %d validation pictures, %d steps, %s%s",
        run,
        len(prepared.frames),
        len(prepared.sides["val"]),
        _steps(config, prepared.frames),
        "going on from the last finished epoch" if prepared.goes_on else prepared.start.summary,
        f", {processes.size} processes" if processes.size > 1 else "",
    )
    fit(
        prepared.module,
        prepared.frames,
        prepared.sides["val"],
        learning=config.learning,
        run=run,
        processes=processes,
        goes_on=prepared.goes_on,
        callbacks=callbacks,
    )
    return prepared


def _require_network(config: TrainConfig) -> None:
    """See that there are such a network and such initial weights, without building it."""
    with torch.device("meta"):
        network = build_network(config.network.name, **config.network.options)
        FrameNetwork(network, activation=config.learning.activation)
    if config.network.initial_weights:
        require_file(Path(config.network.initial_weights))


def _prepared(config: TrainConfig, run: Path, processes: Processes) -> _Prepared:
    learning = config.learning
    goes_on = last_state(run).exists()
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
    start = Start("random start", TrainedPictures(complete=True))
    if config.network.initial_weights and goes_on:
        start = _start_of(run)
    elif config.network.initial_weights:
        start = _fill(config.network.initial_weights, network, frames, run, processes)
    if config.quantize:
        quantize(network, config, begins=not goes_on)
    module = SegmentationModule(
        network, learning, _steps(config, frames), data_sets, run / "metrics.csv", processes
    )
    return _Prepared(data_sets, frames, sides, module, start, goes_on)


def _steps(config: TrainConfig, frames: TrainingFrames) -> int:
    return config.learning.epochs * (len(frames) // config.learning.batch)


def _fill(
    weights: str, network: FrameNetwork, frames: TrainingFrames, run: Path, processes: Processes
) -> Start:
    filled = fill_network(network, Path(weights), frames.plain(_MEASURED_FRAMES))
    start = Start(filled.summary, filled.pictures)
    if not processes.first:
        return start
    for name in filled.random:
        _log.warning("no initial weights for %s: random start", name)
    papers = {
        "file": weights,
        "summary": filled.summary,
        "filled": filled.filled,
        "random": filled.random,
        "unused": filled.unused,
        "statistics_measured": filled.unfolded,
        "pictures": sorted(filled.pictures.hashes),
        "pictures_complete": filled.pictures.complete,
    }
    write_text(run / "initial_weights.json", json.dumps(papers, indent=1) + "\n")
    return start


def _start_of(run: Path) -> Start:
    """What a run that goes on began from, by its own papers: the file may be gone."""
    papers = json.loads((run / "initial_weights.json").read_text(encoding="utf-8"))
    hashes = frozenset(papers.get("pictures", ()))
    pictures = TrainedPictures(hashes, bool(papers.get("pictures_complete", False)))
    return Start(papers["summary"], pictures)
