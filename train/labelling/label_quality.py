"""Labels against the exact truth of simulated clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.data_folder import DataFolder
from contract.label_map import CLASSES, GAS_SMOKE, IGNORE, MACHINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["label_quality"]


def label_quality(
    labels: Path, truth: Path, stems: Sequence[str] | None = None
) -> dict[str, float | None]:
    """Compare a labelled folder with a folder of exact masks, pooled over pictures.

    Args:
        labels: what was labelled, with or without weights.
        truth: the same stems with exact masks.
        stems: which to compare; None: all.

    Returns:
        `gas_iou` and `machine_iou`, where an ignored pixel counts for no class but is missed where
        the truth has it; `weighted_gas_iou` and `weighted_machine_iou`, each pixel by its weight,
        which is what a loss sees; None where a class is not labelled or nowhere; `ignored`, share
        of the pixels; `wrong_by_weight`, share of all weight that lies on wrong labels.
    """
    given, exact = DataFolder.open(labels, stems), DataFolder.open(truth, stems)
    both, either = np.zeros((2, len(CLASSES))), np.zeros((2, len(CLASSES)))  # plain and weighted
    ignored = pixels = 0
    wrong = total = 0.0
    for stem in given.names:
        mask, true = given.read(stem)[1], exact.read(stem)[1]
        if MACHINE not in given.labelled:
            true = np.where(true == MACHINE, np.uint8(0), true)
        trusted = given.read_weights(stem, mask.shape)
        share = np.ones(mask.shape) if trusted is None else trusted / 255
        share = np.where(mask == IGNORE, 0, share)
        for each in CLASSES:
            here, there = mask == each.index, true == each.index
            for row, weight in enumerate((np.ones_like(share), share)):
                both[row, each.index] += (weight * (here & there)).sum()
                either[row, each.index] += (weight * (here | there)).sum()
        ignored += int((mask == IGNORE).sum())
        pixels += mask.size
        wrong += float((share * (mask != true)).sum())
        total += float(share.sum())

    def iou(row: int, of: int) -> float | None:
        known = of in given.labelled and either[row, of] > 0
        return float(both[row, of] / either[row, of]) if known else None

    return {
        "gas_iou": iou(0, GAS_SMOKE),
        "weighted_gas_iou": iou(1, GAS_SMOKE),
        "machine_iou": iou(0, MACHINE),
        "weighted_machine_iou": iou(1, MACHINE),
        "ignored": ignored / pixels,
        "wrong_by_weight": wrong / total if total else None,
    }
