"""Score any way of running the network on a folder of pictures and masks: one code for all.

Pictures and masks are fitted into the network's input and scored there, as the network sees them;
what the fitting pads counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from contract.boundary_scores import BoundaryBoard, BoundaryScore
from contract.gallery import Gallery, ShownPicture
from contract.label_map import GAS_SMOKE
from contract.pictures import fit_mask, fit_picture
from contract.plume_scores import (
    EmptySceneScore,
    PlumeSizeScore,
    empty_scenes,
    false_gas_of,
    recall_by_plume_size,
)
from contract.reliability import Reliability, ReliabilityBoard
from contract.scores import ImageScore, ScoreBoard, Scores

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from contract.data_folder import DataFolder
    from contract.segmenter import Segmenter

__all__ = ["Evaluation", "Evaluator", "PlantScores", "evaluate"]


class PlantScores(BaseModel):
    """What matters to a plant beside mean IoU and F1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recall_by_plume_size: tuple[PlumeSizeScore, ...]
    empty_scenes: EmptySceneScore
    boundary: BoundaryScore
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one set, of each of its images, and the images worth looking at."""

    scores: Scores
    plant: PlantScores
    images: tuple[ImageScore, ...]
    labelled: tuple[int, ...]  # class indices that the masks tell apart
    ranked: Gallery  # by mean IoU of the picture
    false_gas: Gallery  # by the share of the picture wrongly marked; only pictures with some


class Evaluator:
    """Takes in pictures one by one and gives every score of the set.

    Args:
        labelled: the classes that the truth distinguishes, as of `ScoreBoard`.
        name: put before the pictures' names where they are shown.
        ranked: where pictures of several sets are ranked together; None ranks these alone.
    """

    def __init__(
        self, labelled: Collection[int], *, name: str = "", ranked: Gallery | None = None
    ) -> None:
        self._labelled = tuple(sorted(labelled))
        # where gas is not labelled, background may be gas: nothing is known of false alarms
        self._gas_known = GAS_SMOKE in labelled
        self._prefix = f"{name}/" if name else ""
        self._board = ScoreBoard(labelled)
        self._boundary = BoundaryBoard()
        self._reliability = ReliabilityBoard()
        self._ranked, self._false_gas = ranked or Gallery(), Gallery()

    def add(
        self,
        frame: NDArray[np.uint8],
        truth: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        *,
        name: str,
        group: str | None = None,
    ) -> None:
        """Add one fitted picture.

        Args:
            frame: (H, W, 3) BGR.
            truth: (H, W) class indices, IGNORE where nothing counts.
            mask: (H, W) class indices of the result.
            score: (H, W) gas probability of the result, 0..255.
            name: of the picture.
            group: of near-copies, of which one is shown.
        """
        self._board.add(truth, mask, name=name)
        if self._gas_known:
            self._boundary.add(truth, mask)
            self._reliability.add(truth, score)
        image = self._board.images[-1]
        if image.mean_iou is None:
            return
        wrong = false_gas_of(image)
        parts = [f"{self._prefix}{name}: mean IoU {image.mean_iou:.3f}"]
        if image.gas_iou is not None:
            parts.append(f"gas-smoke IoU {image.gas_iou:.3f}")
        parts.append(f"{100 * wrong:.2f} % wrongly marked")
        if self._gas_known and not image.counts[GAS_SMOKE].any():
            parts.append("no gas here")

        def shown() -> ShownPicture:
            return ShownPicture(", ".join(parts), frame.copy(), mask.copy(), truth.copy())

        self._ranked.offer(image.mean_iou, shown, group)
        if wrong > 0:
            self._false_gas.offer(-wrong, shown, group)

    def result(self) -> Evaluation:
        """Every score of the pictures added so far."""
        images = tuple(self._board.images)
        judged = images if self._gas_known else ()
        return Evaluation(
            scores=self._board.scores(),
            plant=PlantScores(
                recall_by_plume_size=recall_by_plume_size(judged),
                empty_scenes=empty_scenes(judged),
                boundary=self._boundary.scores(),
                reliability=self._reliability.scores(),
            ),
            images=images,
            labelled=self._labelled,
            ranked=self._ranked,
            false_gas=self._false_gas,
        )


def evaluate(
    segmenter: Segmenter, folder: DataFolder, *, groups: Mapping[str, str] | None = None
) -> Evaluation:
    """Segment every picture of a data folder, one by one as the device does, and score the masks.

    Args:
        segmenter: a checkpoint, a bundle or an engine.
        folder: opened, with all stems or those of a split.
        groups: stem -> group of near-copies, of which only one is shown among worst or best.

    Raises:
        InputError: when a picture or a mask cannot be used.
        EngineError: when the backend fails.
    """
    evaluator = Evaluator(folder.labelled)
    rows = tqdm(folder, total=len(folder), desc=f"scoring on {folder.path.name}", delay=2)
    for name, picture, mask in rows:
        frame = fit_picture(picture, segmenter.geometry)
        found = segmenter.segment(frame[None])
        truth = fit_mask(mask, segmenter.geometry)
        evaluator.add(
            frame, truth, found.mask[0], found.score[0], name=name, group=(groups or {}).get(name)
        )
    return evaluator.result()
