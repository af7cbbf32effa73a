"""Which classes a network tells apart, their colours, and what a mask file's values mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contract.errors import InputError

__all__ = [
    "BACKGROUND",
    "BINARY_VALUES",
    "CLASSES",
    "CLASS_VALUES",
    "GAS_SMOKE",
    "IGNORE",
    "MACHINE",
    "LabelClass",
    "class_indices",
]

BACKGROUND = 0
GAS_SMOKE = 1
MACHINE = 2
IGNORE = 255  # a pixel that counts neither in a loss nor in a score

Mask = NDArray[np.uint8]


class LabelClass(BaseModel):
    """One class: its index in the network's output, its name and the colour it is drawn in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int = Field(ge=0, lt=IGNORE)
    name: str = Field(min_length=1)
    colour_rgb: tuple[int, int, int]


CLASSES = (
    LabelClass(index=BACKGROUND, name="background", colour_rgb=(0, 0, 0)),
    LabelClass(index=GAS_SMOKE, name="gas-smoke", colour_rgb=(255, 64, 0)),
    LabelClass(index=MACHINE, name="machine", colour_rgb=(0, 128, 255)),
)

CLASS_VALUES = {BACKGROUND: BACKGROUND, GAS_SMOKE: GAS_SMOKE, MACHINE: MACHINE, IGNORE: IGNORE}
"""Mask files that hold class indices as they are."""

BINARY_VALUES = {0: BACKGROUND, 255: GAS_SMOKE}
"""Mask files that hold 0 and 255: background and gas or smoke; machines are not labelled."""


def class_indices(values: Mask, meaning: dict[int, int], *, where: str) -> Mask:
    """Translate a mask file's values into class indices.

    Args:
        values: (H, W) uint8 as read from the file.
        meaning: class index (or IGNORE) of every value that may occur.
        where: the file, for the message.

    Raises:
        InputError: when a value occurs that `meaning` does not declare.
    """
    table = np.full(256, -1, np.int16)
    for value, index in meaning.items():
        table[value] = index
    seen = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    undeclared = [int(v) for v in seen if table[v] < 0]
    if undeclared:
        raise InputError(
            f"{where}: mask has undeclared values {undeclared[:8]}; "
            f"declared are {sorted(meaning)}: declare them in the data set's label map"
        )
    indices: Mask = table.astype(np.uint8)[values]
    return indices
