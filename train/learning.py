"""One training from configuration to checkpoint, scores and report; stops and goes on at any time.

The run folder:

    config.json              what is trained; a run goes on only under the same
    splits/<data>/*.txt      stems of train, val and test, for `gasedge evaluate --list`
    state/last.ckpt          after each epoch: all that is needed to go on
    state/best.ckpt          the epoch with the best validation score
    metrics.csv, tensorboard/
    checkpoint.pt            the result, written when training is done
    scores.json, report.html
"""

from __future__ import annotations

import errno
import json
import logging
import signal
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from contract.atomic import sha256_of_bytes, write_text
from contract.errors import ConfigError, GasedgeError
from train.augment import Augmentation
from train.datasets import ShuffledKeys, TrainingFrames, ValidationFrames, gather
from train.lightning_parts import EpochBar, WholeFiles, precision_of
from train.module import SegmentationModule
from train.networks.checkpoint import save_checkpoint
from train.networks.frame_network import FrameNetwork
from train.networks.initial_weights import fill_encoder
from train.networks.registry import build_network
from train.report import write_report
from train.scoring import score_split
from train.splits import SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig
    from train.datasets import DataSet
    from train.scoring import DataScores

__all__ = ["TrainingResult", "train"]

_MEASURED_FRAMES = 64  # for folded BatchNorms
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Where the result lies and what it scores."""

    checkpoint: Path
    scores: list[DataScores]
    went_on: bool  # whether a run that had been stopped was taken up


def train(config: TrainConfig, run: Path) -> TrainingResult:
    """Train, or go on where `run` was stopped.

    Raises:
        GasedgeError: when data, configuration or disk do not allow it, or the run is done.
        KeyboardInterrupt: on Ctrl-C; the run can be taken up from its last finished epoch.
    """
    if (run / "checkpoint.pt").exists():
        raise GasedgeError(f"{run}: this training is done; give another --out or remove the folder")
    try:
        return _train(config, run)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GasedgeError(
            f"{run}: no space left on this disk; free some and give the same command again"
        ) from error


def _train(config: TrainConfig, run: Path) -> TrainingResult:
    _agree_with_earlier(config, run)
    # the order of set-up decides the random start
    pl.seed_everything(config.learning.seed, verbose=False)
    data_sets = gather(config)
    _write_splits(run, data_sets)
    geometry = config.input
    augmentation = Augmentation(config.augment, geometry)
    frames = TrainingFrames(data_sets, geometry, augmentation, config.learning.seed)
    if len(frames) < config.learning.batch:
        raise ConfigError(
            f"{len(frames)} training pictures do not fill one batch of {config.learning.batch}; "
            "lower learning.batch"
        )
    # all are read now: a broken test picture must not be found after hours of training
    sides = {side: ValidationFrames(data_sets, side, geometry) for side in ("val", "test")}
    last = run / "state" / "last.ckpt"
    goes_on = last.exists()
    network = FrameNetwork(build_network(config.network.name, **config.network.options))
    filled = "random start"
    if config.network.initial_weights and not goes_on:
        filled = _fill(config.network.initial_weights, network, frames, run)
    elif config.network.initial_weights:
        filled = json.loads((run / "initial_weights.json").read_text())["summary"]
    steps = config.learning.epochs * (len(frames) // config.learning.batch)
    module = SegmentationModule(network, config.learning, steps, data_sets, run / "metrics.csv")
    _log.info(
        "%s: %d training and %d validation pictures, %d steps, %s",
        run,
        len(frames),
        len(sides["val"]),
        steps,
        "going on from the last finished epoch" if goes_on else filled,
    )
    _fit(config, run, module, frames, sides["val"], last if goes_on else None)
    return _finish(config, run, module, data_sets, sides, filled, went_on=goes_on)


def _fit(
    config: TrainConfig,
    run: Path,
    module: SegmentationModule,
    frames: TrainingFrames,
    validation: ValidationFrames,
    resume: Path | None,
) -> None:
    learning = config.learning
    best = ModelCheckpoint(
        dirpath=run / "state",
        filename="best",
        monitor="val/mean_iou",
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    # after best, so that it knows the best score so far
    last = ModelCheckpoint(
        dirpath=run / "state",
        filename="last",
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torch)\..*")
        trainer = pl.Trainer(
            accelerator="auto",
            devices=1,
            precision=precision_of(learning.precision),
            max_epochs=learning.epochs,
            logger=TensorBoardLogger(run, name="tensorboard", version=""),
            callbacks=[best, last, EpochBar()],
            plugins=[WholeFiles()],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )
        loader = DataLoader(
            frames,
            batch_size=learning.batch,
            sampler=ShuffledKeys(len(frames), learning.seed),
            drop_last=True,
        )
        try:
            trainer.fit(
                module,
                loader,
                DataLoader(validation, batch_size=learning.batch),
                ckpt_path=resume,
                weights_only=True,
            )
        except SystemExit as stopped:
            # Lightning turns Ctrl-C into exit(1) and stays deaf to it
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from stopped


def _finish(
    config: TrainConfig,
    run: Path,
    module: SegmentationModule,
    data_sets: list[DataSet],
    sides: dict[str, ValidationFrames],
    filled: str,
    *,
    went_on: bool,
) -> TrainingResult:
    best = torch.load(run / "state" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    network = module.network.to("cpu").eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    scored = [
        score_split(network, frames, side, data_sets)
        for side, frames in sides.items()
        if len(frames)
    ]
    network.to("cpu")
    table = [each for one in scored for each in one.by_data]
    write_text(run / "scores.json", json.dumps([s.as_dict() for s in table], indent=1) + "\n")
    write_report(run / "report.html", run.name, module.history, table, scored[0].pictures)
    digest = sha256_of_bytes(
        b"".join(v.cpu().numpy().tobytes() for v in network.state_dict().values())
    )
    training: dict[str, str | int | float | bool | None] = {
        "run": run.name,
        "network": config.network.name,
        "start": filled,
        "epochs": config.learning.epochs,
        "best_epoch": int(best["epoch"]) + 1,
        "steps": int(best["global_step"]),
        "batch": config.learning.batch,
        "rate": config.learning.rate,
        "precision": str(precision_of(config.learning.precision)),
        "data": "; ".join(f"{data.name} ({len(data.stems['train'])} train)" for data in data_sets),
        "split_seed": config.split.seed,
        "torch": str(torch.__version__),  # a class of its own, which no checkpoint may hold
    }
    stem = "".join(c if c.isalnum() or c in "_.-" else "-" for c in run.name)[:48] or "model"
    result = run / "checkpoint.pt"
    save_checkpoint(
        result,
        network,
        name=config.network.name,
        options=config.network.options,
        geometry=config.input,
        model_id=f"{stem}-{digest[:8]}",
        training=training,
    )
    return TrainingResult(result, table, went_on)


def _agree_with_earlier(config: TrainConfig, run: Path) -> None:
    """A run folder belongs to one configuration."""
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
    if changed := sorted(key for key in now if now[key] != earlier.get(key)):
        raise ConfigError(
            f"{run}: was begun with other settings in {', '.join(changed)}; "
            "put them back to go on, or give another --out"
        )


def _write_splits(run: Path, data_sets: list[DataSet]) -> None:
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


def _fill(weights: str, network: FrameNetwork, frames: TrainingFrames, run: Path) -> str:
    from pathlib import Path

    filled = fill_encoder(network, Path(weights), frames.plain(_MEASURED_FRAMES))
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
