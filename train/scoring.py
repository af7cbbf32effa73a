"""Score a network on one split, each data set apart, and keep the pictures for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from contract.scores import ScoreBoard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from contract.scores import Scores
    from train.datasets import DataSet, ValidationFrames
    from train.networks.frame_network import FrameNetwork

__all__ = ["SHOWN", "DataScores", "ScoredPicture", "SplitScores", "score_split"]

_BATCH = 8
SHOWN = 12


@dataclass(frozen=True, slots=True)
class DataScores:
    """Scores of one data set's split, at the network's input size, fp32 in torch."""

    data: str
    what: str
    split: str
    scores: Scores

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `scores.json`."""
        return {
            "data": self.data,
            "what": self.what,
            "split": self.split,
            "disjoint_from": "training, by group and by picture"
            + ("" if self.split == "test" else "; but the best epoch was chosen on it"),
            "scores": self.scores.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class ScoredPicture:
    """One picture with truth and result, (H, W, 3) BGR and (H, W) class indices."""

    name: str
    mean_iou: float
    frame: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    result: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SplitScores:
    """One split: scores by data set, and its `SHOWN` worst and best pictures, worst first."""

    by_data: list[DataScores]
    pictures: list[ScoredPicture]


def score_split(
    network: FrameNetwork, frames: ValidationFrames, side: str, data_sets: list[DataSet]
) -> SplitScores:
    """Run `network` (eval mode) over fitted frames and score them.

    Args:
        network: on the device that it shall run on.
        frames: of the split.
        side: the split's name.
        data_sets: in the order that `frames` numbers them.
    """
    device = network.mean.device
    boards = [ScoreBoard(data.labelled) for data in data_sets]
    pictures: list[ScoredPicture] = []
    with torch.inference_mode():
        for batch, truths, numbers, stems in tqdm(
            DataLoader(frames, batch_size=_BATCH), f"score {side}", delay=1, leave=False
        ):
            masks = network(batch.to(device)).argmax(dim=1).to(torch.uint8).cpu().numpy()
            if len(pictures) > 4 * SHOWN:
                pictures = _ends(pictures)
            for at, stem in enumerate(stems):
                board, truth = boards[int(numbers[at])], truths[at].numpy()
                board.add(truth, masks[at], name=stem)
                pictures.append(
                    ScoredPicture(
                        f"{data_sets[int(numbers[at])].name}/{stem}",
                        board.images[-1].mean_iou or 0.0,
                        batch[at].numpy(),
                        truth,
                        masks[at],
                    )
                )
    scored = [
        DataScores(data.name, data.what, side, board.scores())
        for data, board in zip(data_sets, boards, strict=True)
        if board.images
    ]
    return SplitScores(scored, _ends(pictures))


def _ends(pictures: list[ScoredPicture]) -> list[ScoredPicture]:
    """The worst and the best, worst first."""
    ranked = sorted(pictures, key=lambda picture: picture.mean_iou)
    return ranked if len(ranked) <= 2 * SHOWN else ranked[:SHOWN] + ranked[-SHOWN:]
