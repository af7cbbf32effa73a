"""Score any way of running the network on a folder of pictures and masks: one code for all.

Pictures and masks are fitted into the network's input and scored there, as the network sees them;
what the fitting pads counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from contract.data_folder import DataFolder
from contract.pictures import fit_mask, fit_picture
from contract.scores import ImageScore, ScoreBoard, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from contract.segmenter import Segmenter

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one set, and of each of its images."""

    scores: Scores
    images: tuple[ImageScore, ...]
    labelled: tuple[int, ...]  # class indices that the masks tell apart


def evaluate(
    segmenter: Segmenter, data_dir: Path, *, only: Sequence[str] | None = None
) -> Evaluation:
    """Segment every picture of a data folder, one by one as the device does, and score the masks.

    Args:
        segmenter: a checkpoint, a bundle or an engine.
        data_dir: folder with `images/` and `masks/`.
        only: stems of the split to score; None scores all.

    Raises:
        InputError: when the folder, a picture or a mask cannot be used.
        EngineError: when the backend fails.
    """
    folder = DataFolder.open(data_dir, only)
    board = ScoreBoard(folder.labelled)
    rows = tqdm(folder, total=len(folder), desc=f"scoring on {folder.path.name}", delay=2)
    for name, picture, mask in rows:
        frame = fit_picture(picture, segmenter.geometry)
        found = segmenter.segment(frame[None]).mask[0]
        board.add(fit_mask(mask, segmenter.geometry), found, name=name)
    return Evaluation(board.scores(), tuple(board.images), tuple(sorted(folder.labelled)))
