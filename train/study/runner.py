"""Run the trainings of a study one after the other; what is done is not done again.

A study's folder:

    splits/<data>/*.txt    drawn once; every training of the study keeps to them
    runs/<arm>/            one training each, as `gasedge train` leaves it
    study.json, study.md, report.html
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from train.config import SplitConfig, TrainConfig
from train.datasets import gather
from train.learning import train
from train.run_folder import result_file, write_splits
from train.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Arm", "data_names", "listed", "run_arms", "run_folder"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arm:
    """One training of a study."""

    name: str
    config: TrainConfig
    start: str | None = None  # arm whose result it begins from; None as its configuration says


def run_folder(out: Path, arm: str) -> Path:
    """Where the training of an arm lies."""
    return out / "runs" / arm


def data_names(config: TrainConfig) -> list[str]:
    """Names of a configuration's data sets."""
    return [each.name or Path(each.path).name for each in config.data] + [
        each.name or f"simulated-{each.kind}" for each in config.simulated
    ]


def listed(config: TrainConfig, out: Path) -> TrainConfig:
    """Draw the splits of a study once, and give the configuration that keeps to them.

    Pictures of the same view were joined when they were drawn, so that the trainings, which use no
    other pictures, need not look for them again.
    """
    lists = out / "splits"
    files = [lists / name / f"{side}.txt" for name in data_names(config) for side in SPLITS]
    if not all(file.exists() for file in files):
        write_splits(out, gather(config))
    split = SplitConfig(
        val=config.split.val,
        test=config.split.test,
        by=config.split.by,
        near_duplicates=False,
        lists=str(lists.absolute()),
    )
    return config.model_copy(update={"split": split})


def run_arms(arms: Sequence[Arm], out: Path) -> None:
    """Train every arm that is not trained yet; one that was stopped goes on.

    Raises:
        ConfigError: when a training there was made from other settings, or under torchrun.
        GasedgeError: as of `train`.
        KeyboardInterrupt: on Ctrl-C; the same call goes on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a study runs in one process; start it without torchrun")
    for number, arm in enumerate(arms, 1):
        run, config = run_folder(out, arm.name), arm.config
        if arm.start:
            start = str(result_file(run_folder(out, arm.start)).absolute())
            network = config.network.model_copy(update={"initial_weights": start})
            config = config.model_copy(update={"network": network})
        if result_file(run).exists():
            _require_same(config, run)
            _log.info("training %d of %d: %s is done", number, len(arms), arm.name)
            continue
        _log.info("training %d of %d: %s", number, len(arms), arm.name)
        train(config, run)
        # three times the size of the result, and of use to a training that is not done only
        shutil.rmtree(run / "state")


def _require_same(config: TrainConfig, run: Path) -> None:
    try:
        earlier = TrainConfig.model_validate(json.loads((run / "config.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{run}: its config.json cannot be read; remove this run") from error
    if earlier != config:
        now, then = config.model_dump(), earlier.model_dump()
        changed = ", ".join(key for key in now if now[key] != then[key])
        raise ConfigError(
            f"{run}: was trained with other settings in {changed}; put them back, or give another "
            "--out"
        )
