"""`pictures.csv` of a run: what every scored picture counts, to compare runs on the same pictures.

data, split, picture, group, then the pixels of each pair of true and found class.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.atomic import write_text
from contract.errors import InputError
from contract.label_map import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.scoring import DataScores

__all__ = ["PictureCounts", "counts_of", "read_pictures", "write_pictures"]

_FILE = "pictures.csv"
_PAIRS = [f"{truth.name} as {found.name}" for truth in CLASSES for found in CLASSES]


@dataclass(frozen=True, slots=True)
class PictureCounts:
    """One scored picture."""

    data: str
    split: str
    picture: str
    group: str
    counts: NDArray[np.int64]  # (classes, classes) pixels by (truth, result)


def counts_of(scored: Sequence[DataScores]) -> list[PictureCounts]:
    """Every picture of every set."""
    return [
        PictureCounts(each.data, each.split, image.name, each.groups[image.name], image.counts)
        for each in scored
        for image in each.images
    ]


def write_pictures(run: Path, scored: Sequence[DataScores]) -> None:
    """Write the file of a run."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["data", "split", "picture", "group", *_PAIRS])
    for each in counts_of(scored):
        writer.writerow([each.data, each.split, each.picture, each.group, *each.counts.ravel()])
    write_text(run / _FILE, table.getvalue())


def read_pictures(run: Path, split: str) -> list[PictureCounts]:
    """Read the pictures of one split, in the order of the file.

    Raises:
        InputError: when the file is missing or damaged.
    """
    file, size = run / _FILE, len(CLASSES)
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return [
                PictureCounts(
                    row["data"],
                    row["split"],
                    row["picture"],
                    row["group"],
                    np.array([int(row[pair]) for pair in _PAIRS], np.int64).reshape(size, size),
                )
                for row in csv.DictReader(stream)
                if row["split"] == split
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); train this run anew") from error
