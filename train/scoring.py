"""Score a network on one split, each data set apart, by the code that scores bundles too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader
from tqdm import tqdm

from contract.evaluation import Evaluator
from contract.gallery import Gallery
from contract.geometry import InputGeometry
from contract.intervals import iou_intervals
from train.networks.checkpoint import LoadedNetwork
from train.networks.torch_segmenter import TorchSegmenter

if TYPE_CHECKING:
    from contract.evaluation import PlantScores
    from contract.intervals import IouIntervals
    from contract.scores import Scores
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

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `scores.json`."""
        return {
            "data": self.data,
            "what": self.what,
            "split": self.split,
            "disjoint_from": "training, by group and by picture"
            + ("" if self.split == "test" else "; but the best epoch was chosen on it"),
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
    network: FrameNetwork, frames: ValidationFrames, side: str, data_sets: list[DataSet]
) -> SplitScores:
    """Run `network` over fitted frames and score them.

    Args:
        network: on the device that it shall run on.
        frames: of the split.
        side: the split's name.
        data_sets: in the order that `frames` numbers them.
    """
    pictures = Gallery()
    evaluators = [Evaluator(data.labelled, name=data.name, ranked=pictures) for data in data_sets]
    height, width = frames[0][0].shape[:2]
    loaded = LoadedNetwork(network, InputGeometry(width=width, height=height), side, {})
    batches = DataLoader(frames, batch_size=_BATCH)
    with TorchSegmenter(loaded, device=str(network.mean.device)) as segmenter:
        for batch, truths, numbers, stems in tqdm(batches, f"score {side}", delay=1, leave=False):
            shown = batch.numpy()
            found = segmenter.segment(shown)
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
    scored = [
        DataScores(
            data.name,
            data.what,
            side,
            result.scores,
            result.plant,
            iou_intervals(result.images, data.groups),
        )
        for data, evaluator in zip(data_sets, evaluators, strict=True)
        if (result := evaluator.result()).images
    ]
    return SplitScores(scored, pictures)
