"""How well masks match the truth: one implementation for every stage, backend and precision.

Two averages are kept apart: over all pixels of a set (a class's counts are pooled first), and
over images (each image's mean IoU, then their mean), as the 2020 study in the docs reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from contract.label_map import LabelClass

__all__ = [
    "ClassScore",
    "ImageScore",
    "ScoreBoard",
    "Scores",
    "confusion",
    "gas_iou_of",
    "mean_f1_of",
    "mean_iou_of",
]


class ClassScore(BaseModel):
    """One class over all pixels; None where the class stands neither in truth nor in result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iou: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    truth_pixels: int


class Scores(BaseModel):
    """Scores of one set; means are over the classes that occur."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_images: int
    mean_iou: float | None  # pooled over pixels
    mean_f1: float | None  # pooled over pixels
    image_mean_iou: float | None  # mean IoU of each image, averaged
    classes: dict[str, ClassScore]


def confusion(
    truth: NDArray[np.uint8], result: NDArray[np.uint8], n_classes: int
) -> NDArray[np.int64]:
    """Count pixels by (truth, result), both (H, W) class indices; truth IGNORE counts nowhere.

    Returns:
        (n_classes, n_classes) int64, rows are the truth.
    """
    counted = truth != IGNORE
    pairs = truth[counted].astype(np.int64) * n_classes + result[counted]
    return np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def _ious(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    either = counts.sum(-1) + counts.sum(-2) - hit
    return np.asarray(np.divide(hit, either, out=np.full(hit.shape, np.nan), where=either > 0))


def gas_iou_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of gas-smoke of each confusion matrix: (..., C, C) -> (...); NaN where there is none."""
    return np.asarray(_ious(counts)[..., GAS_SMOKE])


def mean_iou_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean IoU over the classes that occur, of each confusion matrix: (..., C, C) -> (...)."""
    return _mean_of_known(_ious(counts))


def mean_f1_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean F1 over the classes that occur, of each confusion matrix: (..., C, C) -> (...)."""
    ious = _ious(counts)
    return _mean_of_known(2 * ious / (1 + ious))


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    n = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.asarray(np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _class_score(matrix: NDArray[np.int64], index: int) -> ClassScore:
    hit = int(matrix[index, index])
    in_truth, in_result = int(matrix[index].sum()), int(matrix[:, index].sum())
    return ClassScore(
        iou=_ratio(hit, in_truth + in_result - hit),
        f1=_ratio(2 * hit, in_truth + in_result),
        precision=_ratio(hit, in_result),
        recall=_ratio(hit, in_truth),
        truth_pixels=in_truth,
    )


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One image's share of the board, to rank best and worst."""

    name: str
    mean_iou: float | None
    gas_iou: float | None
    counts: NDArray[np.int64]  # (C, C) pixels by (truth, result)


class ScoreBoard:
    """Collects images one by one and gives the scores of the set.

    Args:
        labelled: the classes that the truth distinguishes. A result of any other class counts as
            background: where machines are not labelled, finding one is not a mistake.
    """

    def __init__(
        self,
        labelled: Collection[int],
        classes: Sequence[LabelClass] = CLASSES,
    ) -> None:
        self._classes = classes
        self._fold = np.array(
            [c.index if c.index in labelled else BACKGROUND for c in classes], np.uint8
        )
        self._pooled = np.zeros((len(classes), len(classes)), np.int64)
        self.images: list[ImageScore] = []

    def add(self, truth: NDArray[np.uint8], result: NDArray[np.uint8], *, name: str) -> None:
        """Add one image: (H, W) class indices of truth (IGNORE allowed) and result."""
        matrix = confusion(truth, self._fold[result], len(self._classes))
        self._pooled += matrix
        each = [_class_score(matrix, c.index).iou for c in self._classes]
        self.images.append(ImageScore(name, _mean(each), each[GAS_SMOKE], matrix))

    def take_over(self, images: Sequence[ImageScore]) -> None:
        """Add images that another board scored, as where several processes share a set."""
        for image in images:
            self._pooled += image.counts
        self.images.extend(images)

    def scores(self) -> Scores:
        """Scores of all images added so far."""
        by_class = {c.name: _class_score(self._pooled, c.index) for c in self._classes}
        return Scores(
            n_images=len(self.images),
            mean_iou=_mean([c.iou for c in by_class.values()]),
            mean_f1=_mean([c.f1 for c in by_class.values()]),
            image_mean_iou=_mean([image.mean_iou for image in self.images]),
            classes=by_class,
        )
