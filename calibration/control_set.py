"""The control set, fitted once and scored many times: by every method and every set of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from calibration.frames import study
from contract.atomic import sha256_of_bytes
from contract.data_folder import DataFolder
from contract.errors import InputError
from contract.label_map import CLASSES, GAS_SMOKE
from contract.pictures import fit_mask, fit_picture
from contract.scores import ScoreBoard
from edge_runtime.backends.open import open_graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from calibration.frames import FrameFacts
    from contract.geometry import InputGeometry
    from contract.precision import Precision
    from contract.scores import Scores
    from contract.segmenter import Segmenter

__all__ = ["GAS", "ControlSet", "gas_iou"]

GAS = CLASSES[GAS_SMOKE].name
_MEMORY_BYTES = 1 << 30  # for fitted pictures; those beyond are read again each time


class ControlSet:
    """Pictures and masks of other scenes than were calibrated on.

    Args:
        path: folder with `images/` and `masks/`.
        only: stems to take; None takes all.
        geometry: the network's input.

    Raises:
        InputError: when the folder cannot be used.
    """

    def __init__(self, path: Path, only: Sequence[str] | None, geometry: InputGeometry) -> None:
        self.folder = DataFolder.open(path, only)
        self._geometry = geometry
        self.path = path
        self.pictures = [self.folder.images[name] for name in self.folder.names]
        self.facts: list[FrameFacts] = study(self.pictures, doing="control frames")
        self._kept: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        self._scored: dict[str, Scores] = {}  # by the graph's hash

    def scores_of(self, graph: bytes, precision: Precision) -> Scores:
        """Scores of a deploy graph on the CPU runtime that the device would take.

        Raises:
            InputError: when no mask shows gas or smoke, so nothing can be judged.
        """
        key = sha256_of_bytes(graph)
        if key not in self._scored:
            with open_graph(graph, self._geometry, precision) as segmenter:
                self._scored[key] = self._scores(segmenter)
        return self._scored[key]

    def _scores(self, segmenter: Segmenter) -> Scores:
        board = ScoreBoard(self.folder.labelled)
        shown = tqdm(
            self._fitted(), f"control set on {segmenter.name}", len(self.pictures), delay=2
        )
        for name, frame, truth in shown:
            board.add(truth, segmenter.segment(frame[None]).mask[0], name=name)
        scores = board.scores()
        if not scores.classes[GAS].truth_pixels:
            raise InputError(
                f"{self.path}: no control mask shows gas or smoke; INT8 cannot be judged by it"
            )
        return scores

    def _fitted(self) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        room = _MEMORY_BYTES // (4 * self._geometry.width * self._geometry.height)
        for name in self.folder.names:
            pair = self._kept.get(name)
            if pair is None:
                picture, mask = self.folder.read(name)
                pair = fit_picture(picture, self._geometry), fit_mask(mask, self._geometry)
                if len(self._kept) < room:
                    self._kept[name] = pair
            yield (name, *pair)


def gas_iou(scores: Scores) -> float:
    """Gas-smoke IoU, 0 where the network finds none of what is there."""
    return scores.classes[GAS].iou or 0.0
