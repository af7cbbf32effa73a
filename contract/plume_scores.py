"""What a plant asks of a mask: are small plumes found, and does an empty scene stay quiet?

A picture's plume is all gas-smoke of its truth, however torn: one leak. It counts as found where
the result marks at least a tenth of its pixels. The picture is what the truth counts: padding and
ignored pixels belong to neither plume nor picture.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from contract.label_map import GAS_SMOKE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contract.scores import ImageScore

__all__ = [
    "FOUND_SHARE",
    "PLUME_EDGES",
    "PRESENT",
    "EmptySceneScore",
    "PlumeSizeScore",
    "empty_scenes",
    "false_gas_of",
    "recall_by_plume_size",
]

PLUME_EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Plume area as a share of the picture; a plume belongs to the bin whose upper edge it reaches."""

FOUND_SHARE = 0.1
"""Share of a plume's pixels that must be marked for the plume to count as found."""

PRESENT = 0.001
"""Gas share of a picture from which it alarms: the daemon's default `area_on`."""


class PlumeSizeScore(BaseModel):
    """Plumes of one size: above `area_from`, up to `area_to` of the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    area_from: float
    area_to: float
    plumes: int
    found: int
    found_recall: float | None  # found / plumes
    truth_pixels: int
    pixel_recall: float | None  # pooled over the pixels of these plumes


class EmptySceneScore(BaseModel):
    """Pictures whose truth holds no gas-smoke."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int
    false_area: float | None  # share of all their pixels that is marked
    alarms: int  # pictures with PRESENT or more of them marked
    alarm_rate: float | None


def _gas(image: ImageScore) -> tuple[int, int, int, int]:
    """Pixels of an image: gas in truth, of these marked, marked in all, counted."""
    counts = image.counts
    return (
        int(counts[GAS_SMOKE].sum()),
        int(counts[GAS_SMOKE, GAS_SMOKE]),
        int(counts[:, GAS_SMOKE].sum()),
        int(counts.sum()),
    )


def false_gas_of(image: ImageScore) -> float:
    """Share of a picture that is marked gas-smoke and is not."""
    _, hit, marked, counted = _gas(image)
    return (marked - hit) / counted if counted else 0.0


def recall_by_plume_size(images: Sequence[ImageScore]) -> tuple[PlumeSizeScore, ...]:
    """Recall of pixels and of plumes, for each size between two `PLUME_EDGES`."""
    scores = []
    for low, high in itertools.pairwise(PLUME_EDGES):
        plumes = found = truth_pixels = hits = 0
        for truth, hit, _, counted in map(_gas, images):
            if truth and low < truth / counted <= high:
                plumes += 1
                found += hit >= FOUND_SHARE * truth
                truth_pixels += truth
                hits += hit
        scores.append(
            PlumeSizeScore(
                area_from=low,
                area_to=high,
                plumes=plumes,
                found=found,
                found_recall=found / plumes if plumes else None,
                truth_pixels=truth_pixels,
                pixel_recall=hits / truth_pixels if plumes else None,
            )
        )
    return tuple(scores)


def empty_scenes(images: Sequence[ImageScore]) -> EmptySceneScore:
    """False alarms of pictures that show no gas; pictures that count nowhere are left out."""
    empty = [
        (marked, counted)
        for truth, _, marked, counted in map(_gas, images)
        if counted and not truth
    ]
    alarms = sum(marked >= PRESENT * counted for marked, counted in empty)
    pixels = sum(counted for _, counted in empty)
    return EmptySceneScore(
        pictures=len(empty),
        false_area=sum(marked for marked, _ in empty) / pixels if empty else None,
        alarms=alarms,
        alarm_rate=alarms / len(empty) if empty else None,
    )
