"""Score a network on one split, each data set apart, by the code that scores bundles too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from contract.evaluation import Evaluator
from contract.gallery import Gallery
from contract.geometry import InputGeometry
from contract.intervals import iou_intervals
from train.losses import segmentation_loss
from train.networks.checkpoint import LoadedNetwork
from train.networks.torch_segmenter import TorchSegmenter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract.evaluation import PlantScores
    from contract.intervals import IouIntervals
    from contract.scores import ImageScore, Scores
    from train.config import LearningConfig
    from train.datasets import DataSet, ValidationFrames
    from train.networks.frame_network import FrameNetwork

__all__ = ["DataScores", "SplitScores", "score_split"]

_BATCH = 8


@dataclass(frozen=True, slots=True)
class DataScores:
    """Scores of one data set's split, at the network's input size, fp32 in torch."""

    data: str
    what: str
    split: str
    scores: Scores
    plant: PlantScores
    intervals: IouIntervals  # by resampling the groups of the split
    loss: float  # that the network was taught with, of each picture by itself, averaged
    images: tuple[ImageScore, ...]
    groups: Mapping[str, str]  # of the images, by name

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `scores.json`."""
        return {
            "data": self.data,
            "what": self.what,
            "split": self.split,
            "disjoint_from": "training, by group and by picture"
            + ("" if self.split == "test" else "; but the best epoch was chosen on it"),
            "loss": self.loss,
            "scores": self.scores.model_dump(mode="json"),
            "intervals": self.intervals.model_dump(mode="json"),
            **self.plant.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class SplitScores:
    """One split: scores by data set, and the pictures of all of them ranked by mean IoU."""

    by_data: list[DataScores]
    pictures: Gallery


def score_split(
    network: FrameNetwork,
    frames: ValidationFrames,
    side: str,
    data_sets: list[DataSet],
    learning: LearningConfig,
) -> SplitScores:
    """Run `network` over fitted frames and score them.

    Args:
        network: on the device that it shall run on.
        frames: of the split.
        side: the split's name.
        data_sets: in the order that `frames` numbers them.
        learning: of the loss.
    """
    pictures = Gallery()
    evaluators = [Evaluator(data.labelled, name=data.name, ranked=pictures) for data in data_sets]
    height, width = frames[0][0].shape[:2]
    loaded = LoadedNetwork(network, InputGeometry(width=width, height=height), side, {})
    batches = DataLoader(frames, batch_size=_BATCH)
    losses: list[list[float]] = [[] for _ in data_sets]
    logits: list[torch.Tensor] = []  # of the batch
    hook = network.register_forward_hook(lambda _, __, given: logits.append(given))
    with TorchSegmenter(loaded, device=str(network.mean.device)) as segmenter:
        for batch, truths, numbers, stems in tqdm(batches, f"score {side}", delay=1, leave=False):
            shown = batch.numpy()
            found = segmenter.segment(shown)
            given = logits.pop()
            for at, stem in enumerate(stems):
                number = int(numbers[at])
                evaluators[number].add(
                    shown[at],
                    truths[at].numpy(),
                    found.mask[at],
                    found.score[at],
                    name=stem,
                    group=f"{number}/{data_sets[number].groups[stem]}",
                )
                known = torch.tensor([data_sets[number].machines_known])
                losses[number].append(
                    _loss(given[at : at + 1], truths[at : at + 1], known, learning)
                )
    hook.remove()
    scored = [
        DataScores(
            data.name,
            data.what,
            side,
            result.scores,
            result.plant,
            iou_intervals(result.images, data.groups),
            sum(of_data) / len(of_data),
            result.images,
            data.groups,
        )
        for data, evaluator, of_data in zip(data_sets, evaluators, losses, strict=True)
        if (result := evaluator.result()).images
    ]
    return SplitScores(scored, pictures)


def _loss(
    logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor, learning: LearningConfig
) -> float:
    return float(
        segmentation_loss(
            logits.cpu(),
            truth,
            known,
            dice_weight=learning.dice_weight,
            gas_weight=learning.gas_weight,
            activation=learning.activation,
        )
    )
