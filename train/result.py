"""What a training leaves when it is done: scores, a report, a checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from contract.atomic import sha256_of_bytes, write_text
from contract.trained_pictures import TrainedPictures
from train.lightning_parts import precision_of
from train.networks.checkpoint import save_checkpoint
from train.picture_counts import write_pictures
from train.quantize.fine_tuning import plain_network
from train.report import write_report
from train.run_folder import best_state, result_file
from train.scoring import score_split

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig
    from train.datasets import DataSet, ValidationFrames
    from train.module import SegmentationModule
    from train.scoring import DataScores

__all__ = ["Start", "TrainingResult", "write_result"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a training began from."""

    summary: str
    pictures: TrainedPictures  # that it had learned before


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Where the result lies and what it scores."""

    checkpoint: Path
    scores: list[DataScores]
    went_on: bool  # whether a run that had been stopped was taken up


def write_result(
    config: TrainConfig,
    run: Path,
    module: SegmentationModule,
    data_sets: list[DataSet],
    sides: dict[str, ValidationFrames],
    start: Start,
    *,
    went_on: bool,
) -> TrainingResult:
    """Score the best epoch on each side and write all that a training leaves.

    Args:
        config: of the training.
        run: its folder.
        module: after the last epoch.
        data_sets: as gathered.
        sides: frames to score by split.
        start: what the network started from.
        went_on: whether the run had been stopped before.
    """
    best = torch.load(best_state(run), map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    network = module.network.eval()
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    scored = [
        score_split(network, frames, side, data_sets, config.learning)
        for side, frames in sides.items()
        if len(frames)
    ]
    network, int8_scales = plain_network(network.to("cpu"), config)
    table = [each for one in scored for each in one.by_data]
    write_text(run / "scores.json", json.dumps([s.as_dict() for s in table], indent=1) + "\n")
    write_pictures(run, table)
    write_report(run / "report.html", run.name, module.history, table, scored[0].pictures)
    digest = sha256_of_bytes(
        b"".join(v.cpu().numpy().tobytes() for v in network.state_dict().values())
    )
    training: dict[str, str | int | float | bool | None] = {
        "run": run.name,
        "network": config.network.name,
        "activation": config.learning.activation,
        "start": start.summary,
        "epochs": config.learning.epochs,
        "best_epoch": int(best["epoch"]) + 1,
        "steps": int(best["global_step"]),
        "batch": config.learning.batch,
        "rate": config.learning.rate,
        "precision": str(precision_of(config.learning.precision)),
        "data": "; ".join(f"{data.name} ({len(data.stems['train'])} train)" for data in data_sets),
        "split_seed": config.split.seed,
        "fake_quantised": bool(int8_scales),
        "torch": str(torch.__version__),  # a class of its own, which no checkpoint may hold
    }
    learned = frozenset(data.contents[s] for data in data_sets for s in data.stems["train"])
    stem = "".join(c if c.isalnum() or c in "_.-" else "-" for c in run.name)[:48] or "model"
    save_checkpoint(
        result_file(run),
        network,
        name=config.network.name,
        options=config.network.options,
        geometry=config.input,
        model_id=f"{stem}-{digest[:8]}",
        training=training,
        int8_scales=int8_scales,
        pictures=start.pictures | TrainedPictures(learned, complete=True),
    )
    return TrainingResult(result_file(run), table, went_on)
