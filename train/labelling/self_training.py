"""Do better labels give better masks? Three kinds of label for the same pictures, then measured.

- boxes: all that a box holds is gas. What one gets without any work.
- change: `gasedge label`, gas by change inside the boxes, with weights.
- network: the labels of `change` weighed against the network that learned from them: one round of
  self-training. Only pictures of the train split are labelled again.

Networks differ in their labels alone: same split, same start, same order of pictures. They are
scored on runs that none has seen, by the boxes there and, where the clips are simulated, by the
exact masks.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from contract.box_scores import inside_of, read_yolo_boxes
from contract.config import Section, load_config
from contract.data_folder import DataFolder, read_stems
from contract.errors import ConfigError, GasedgeError
from contract.evaluation import evaluate
from contract.geometry import InputGeometry
from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.weak_evaluation import evaluate_boxes
from train.config import (
    AugmentConfig,
    DataConfig,
    LearningConfig,
    NetworkConfig,
    SplitConfig,
    TrainConfig,
    resolved_path,
)
from train.formats.folder_writer import Sample, write_folder
from train.labelling.boxed_clips import write_boxed_clips
from train.labelling.label_clip import label_clip
from train.labelling.label_quality import label_quality
from train.labelling.network_opinion import NetworkOpinion
from train.labelling.still_clip import runs_of
from train.learning import train
from train.networks.torch_segmenter import TorchSegmenter
from train.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

__all__ = ["LABELS", "SelfTrainingConfig", "load_self_training_config", "self_training"]

LABELS = ("boxes", "change", "network")
_NAME = "clip"
_log = logging.getLogger(__name__)


class SimulatedClips(Section):
    """Clips with boxes and a hidden truth."""

    kind: Literal["gas", "smoke"] = "gas"
    scenes: int = Field(default=24, ge=3)
    frames: int = Field(default=80, ge=10)
    onset: int = Field(default=16, ge=0)  # frame at which the plume begins
    seed: int = Field(default=0, ge=0)
    distractors: float = Field(default=0.0, ge=0, le=1)  # share of the scenes
    large: bool = False  # leaks that stand out


class SelfTrainingConfig(Section):
    """The file of `scripts/self_training`."""

    clip: str | None = None  # folder with images/ and labels/ (YOLO boxes), one still camera
    simulated: SimulatedClips | None = None  # instead of it
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    input: InputGeometry = InputGeometry(width=128, height=128)
    split: SplitConfig = SplitConfig(near_duplicates=False)
    network: NetworkConfig = NetworkConfig()
    learning: LearningConfig = LearningConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.clip is None) == (self.simulated is None):
            raise ValueError("give either clip or a [simulated] table")
        return self


def load_self_training_config(path: Path) -> SelfTrainingConfig:
    """Read the file; `clip` may begin with ~ or $NAME and is relative to the file.

    Raises:
        ConfigError: one line for each fault.
    """
    config = load_config(path, SelfTrainingConfig)
    if config.clip is None:
        return config
    place = resolved_path(config.clip, path.absolute().parent, path)
    for name in ("images", "labels"):
        if not (place / name).is_dir():
            raise ConfigError(f"{path}: clip {place} has no folder {name}/")
    return config.model_copy(update={"clip": str(place)})


def self_training(config: SelfTrainingConfig, out: Path) -> dict[str, Any]:
    """Label, train, label again, train again, measure; all of it stays in `out`.

    Returns:
        What `scripts/self_training` prints: the split, the labels and the scores of each kind of
        label and seed, and their means over seeds.

    Raises:
        GasedgeError: when `out` is there already, or a clip or a training fails.
    """
    if out.exists():
        raise GasedgeError(f"{out}: is already there; remove it or give another --out")
    clip = _clip(config, out)
    truth = clip if config.simulated is not None else None
    _write_box_labels(clip, out / "labels-boxes")
    label_clip(clip, out / "labels-change", boxes=clip / "labels")
    scores: dict[str, list[dict[str, Any]]] = {kind: [] for kind in LABELS}
    quality: dict[str, list[dict[str, float | None]]] = {kind: [] for kind in LABELS}
    split: dict[str, list[str]] = {}
    for seed in config.seeds:
        checkpoint = Path()  # the network that learned last
        for kind in LABELS:
            labels = out / f"labels-{kind}"
            if kind == "network":
                labels = out / f"labels-network-{seed}"
                _label_again(clip, labels, checkpoint, split["train"])
            run = out / f"run-{kind}-{seed}"
            checkpoint = train(_training(config, labels, seed), run).checkpoint
            sides = {side: _listed(run, side) for side in ("train", "val", "test")}
            if split and sides != split:
                raise GasedgeError(f"{run}: was split otherwise than the runs before it")
            split = sides
            scores[kind].append(_scores(checkpoint, clip, truth, split["test"]))
            if truth is not None:
                quality[kind].append(label_quality(labels, truth, split["train"]))
    return {
        "clip": config.clip or "simulated",
        "split": {side: _groups(stems) for side, stems in split.items()},
        "network": config.network.name,
        "seeds": list(config.seeds),
        "labels_of_train_against_truth": {k: v for k, v in quality.items() if v} or None,
        "scores_on_test": scores,
        "mean_over_seeds": {kind: _means(rows) for kind, rows in scores.items()},
    }


def _clip(config: SelfTrainingConfig, out: Path) -> Path:
    made = config.simulated
    if made is None:
        return Path(config.clip or "")
    size = (config.input.width, config.input.height)
    simulation = Simulation(
        made.kind, *size, made.seed, distractors=made.distractors, large=made.large
    )
    write_boxed_clips(
        out / "clip", simulation, scenes=made.scenes, frames=made.frames, onset=made.onset
    )
    return out / "clip"


def _write_box_labels(clip: Path, out: Path) -> None:
    """All that a box holds is gas; machines are not labelled."""

    def samples() -> Iterator[Sample]:
        from contract.pictures import pictures_in, read_picture

        files = pictures_in(clip / "images")
        runs = runs_of([file.stem for file in files])
        group = {at: name for name, positions in runs.items() for at in positions}
        for at, file in enumerate(files):
            shape = read_picture(file).shape[:2]
            mask = np.full(shape, BACKGROUND, np.uint8)
            for box in read_yolo_boxes(clip / "labels" / f"{file.stem}.txt"):
                mask[inside_of(box, (shape[0], shape[1]))] = GAS_SMOKE
            yield Sample(file.stem, group[at], file, mask)

    write_folder(out, samples(), [BACKGROUND, GAS_SMOKE])


def _label_again(clip: Path, out: Path, checkpoint: Path, stems: list[str]) -> None:
    with TorchSegmenter.from_checkpoint(checkpoint) as segmenter:
        opinion = NetworkOpinion(segmenter, frozenset(stems))
        label_clip(clip, out, boxes=clip / "labels", opinion=opinion)


def _training(config: SelfTrainingConfig, labels: Path, seed: int) -> TrainConfig:
    return TrainConfig(
        data=(DataConfig(path=str(labels), name=_NAME, near_duplicates=False),),
        input=config.input,
        split=config.split,
        network=config.network,
        learning=config.learning.model_copy(update={"seed": seed}),
        augment=config.augment,
    )


def _listed(run: Path, side: str) -> list[str]:
    return sorted(read_stems(run / "splits" / _NAME / f"{side}.txt"))


def _groups(stems: list[str]) -> dict[str, int]:
    """Run -> pictures."""
    return {name: len(positions) for name, positions in runs_of(stems).items()}


def _scores(
    checkpoint: Path, clip: Path, truth: Path | None, stems: list[str]
) -> dict[str, float | None]:
    with TorchSegmenter.from_checkpoint(checkpoint) as segmenter:
        boxes = evaluate_boxes(segmenter, clip, only=stems).scores
        row: dict[str, float | None] = {
            "pointing_maximum": boxes.pointing_maximum,
            "pointing_centroid": boxes.pointing_centroid,
            "found_in_box": boxes.found_in_box,
            "gas_inside_box": boxes.gas_inside_box,
            "box_iou": boxes.box_iou,
        }
        if truth is not None:
            exact = evaluate(segmenter, DataFolder.open(truth, stems)).scores
            row["gas_iou"] = exact.classes["gas-smoke"].iou
            row["gas_recall"] = exact.classes["gas-smoke"].recall
            row["gas_precision"] = exact.classes["gas-smoke"].precision
    return row


def _means(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for key in rows[0]:
        known = [value for row in rows if (value := row[key]) is not None]
        out[key] = sum(known) / len(known) if known else None
    return out
