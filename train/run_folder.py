"""The folder of one training: it belongs to one configuration and one set of pictures.

config.json              what is trained; a run goes on only under the same
splits/<data>/*.txt      stems of train, val and test, for `gasedge evaluate --list`
state/last.ckpt          after each epoch: all that is needed to go on
state/best.ckpt          the epoch with the best validation score
metrics.csv, tensorboard/
checkpoint.pt            the result, written when training is done
scores.json, pictures.csv, report.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError
from train.config import TrainConfig
from train.splits import SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from train.datasets import DataSet

__all__ = ["agree_with_earlier", "best_state", "last_state", "result_file", "write_splits"]


def result_file(run: Path) -> Path:
    """Where the result will be; it stands only when training is done."""
    return run / "checkpoint.pt"


def last_state(run: Path) -> Path:
    """State after the last finished epoch."""
    return run / "state" / "last.ckpt"


def best_state(run: Path) -> Path:
    """Weights of the epoch with the best validation score."""
    return run / "state" / "best.ckpt"


def agree_with_earlier(config: TrainConfig, run: Path) -> None:
    """Write the configuration into a new folder, or see that it is the one that began this run.

    Raises:
        GasedgeError: when it is not, the run is done, or the folder is of something else.
    """
    if result_file(run).exists():
        raise GasedgeError(f"{run}: this training is done; give another --out or remove the folder")
    file = run / "config.json"
    now: dict[str, Any] = config.model_dump(mode="json")
    if not file.exists():
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise GasedgeError(f"{run}: is there and is no training's folder; give another --out")
        write_text(file, json.dumps(now, indent=1) + "\n")
        return
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GasedgeError(f"{file}: cannot be read ({error}); give another --out") from error
    try:
        # a setting that has come up since had its default
        earlier = TrainConfig.model_validate(earlier).model_dump(mode="json")
    except ValidationError as error:
        raise GasedgeError(
            f"{file}: was written by another version of gasedge; give another --out"
        ) from error
    if changed := sorted(key for key in now if now[key] != earlier[key]):
        raise ConfigError(
            f"{run}: was begun with other settings in {', '.join(changed)}; "
            "put them back to go on, or give another --out"
        )


def write_splits(run: Path, data_sets: list[DataSet]) -> None:
    """Write which picture is on which side, or see that it is as the run began.

    Raises:
        ConfigError: when the pictures have changed.
    """
    for data in data_sets:
        for side in SPLITS:
            file = run / "splits" / data.name / f"{side}.txt"
            text = "".join(f"{stem}\n" for stem in data.stems[side])
            if not file.exists():
                write_text(file, text)
            elif file.read_text(encoding="utf-8") != text:
                raise ConfigError(
                    f"{data.what}: its pictures are not those that {file} was made from; "
                    "put them back to go on, or give another --out"
                )
