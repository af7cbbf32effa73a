"""What the pixels of a folder's masks mean, decided once for the whole folder.

`labels.toml` says it, else the values that occur: only {0, 255} means background and gas-smoke
with machines left unlabelled; class indices (0, 1, 2, and 255 for "ignore") stand for themselves.

    [values]            # grey masks
    0 = "background"
    128 = "machine"
    255 = "gas-smoke"

    [colours]           # or masks in colour
    "#000000" = "background"
    "#ff0000" = "gas-smoke"

    empty = true        # or no masks at all: no picture shows gas or smoke
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.config import read_toml
from contract.errors import ConfigError, InputError
from contract.label_map import (
    BACKGROUND,
    BINARY_VALUES,
    CLASS_VALUES,
    CLASSES,
    GAS_SMOKE,
    IGNORE,
)
from contract.pictures import read_mask, read_mask_colours, read_mask_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["EMPTY", "LABELS", "MaskMeaning", "declared_meaning", "meaning_of_values"]

LABELS = "labels.toml"
_INDEX_OF = {each.name: each.index for each in CLASSES} | {"ignore": IGNORE}
_EXPECTED = (
    'expected a table [values] of lines like 255 = "gas-smoke", a table [colours] of lines like '
    '"#ff0000" = "gas-smoke", or empty = true'
)


@dataclass(frozen=True, slots=True)
class MaskMeaning:
    """Class index (or IGNORE) of every grey value, or of every colour, that a mask may hold."""

    values: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[int, int] = field(default_factory=dict)  # 0xRRGGBB
    empty: bool = False  # there are no masks: every pixel is background, machines unknown

    @property
    def labelled(self) -> frozenset[int]:
        """The classes that the masks tell apart."""
        if self.empty:
            return frozenset({BACKGROUND, GAS_SMOKE})
        return frozenset({*self.values.values(), *self.colours.values()}) - {IGNORE}

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read a mask file as (H, W) class indices.

        Raises:
            InputError: when it cannot be read or holds something undeclared.
        """
        if self.colours:
            return _indices_of_colours(read_mask_colours(path), self.colours, where=str(path))
        return read_mask(path, dict(self.values))


EMPTY = MaskMeaning(empty=True)


def declared_meaning(folder: Path) -> MaskMeaning | None:
    """What `labels.toml` of a folder says; None where there is none.

    Raises:
        ConfigError: when it says it wrongly.
    """
    labels = folder / LABELS
    if not labels.is_file():
        return None
    table = read_toml(labels)
    if table == {"empty": True}:
        return EMPTY
    kind = next(iter(table), "")
    lines = table.get(kind)
    if len(table) != 1 or kind not in ("values", "colours") or not isinstance(lines, dict):
        raise ConfigError(f"{labels}: {_EXPECTED}")
    if not lines:
        raise ConfigError(f"{labels}: [{kind}] is empty; {_EXPECTED}")
    meaning: dict[int, int] = {}
    for key, name in lines.items():
        if name not in _INDEX_OF:
            raise ConfigError(f"{labels}: {name!r} is no class; classes are {', '.join(_INDEX_OF)}")
        meaning[_value(key, labels) if kind == "values" else _colour(key, labels)] = _INDEX_OF[name]
    return MaskMeaning(values=meaning) if kind == "values" else MaskMeaning(colours=meaning)


def meaning_of_values(path: Path, masks: Sequence[Path]) -> MaskMeaning:
    """What the values that occur in `masks` mean; nothing that is open to doubt is guessed.

    Raises:
        InputError: when a mask cannot be read or its values are neither of the two known kinds.
    """
    labels = path / LABELS
    binary: Path | None = None  # a mask with 255 and neither 1 nor 2
    indexed: Path | None = None  # a mask with 1 or 2
    for mask in tqdm(masks, desc=f"masks of {path.name}", unit="", leave=False, delay=2):
        values = read_mask_values(mask)
        if (values + np.uint8(1) <= 1).all():  # 255 wraps round to 0
            binary = binary or (mask if values.any() else None)
            continue
        strange = sorted(set(np.unique(values).tolist()) - CLASS_VALUES.keys())
        if strange:
            raise InputError(
                f"{mask}: mask value {strange[0]} is not declared; expected 0 and 255, or class "
                f"indices {sorted(CLASS_VALUES)}, or a {labels} that says what values mean"
            )
        indexed = indexed or mask
    if binary and indexed:
        raise InputError(
            f"{binary}: holds 0 and 255 while {indexed.name} holds class indices, so 255 may be "
            f"gas or a pixel to ignore; say which in {labels}"
        )
    return MaskMeaning(values=CLASS_VALUES if indexed else BINARY_VALUES)


def _value(key: str, labels: Path) -> int:
    if not key.isdecimal() or int(key) > 255:
        raise ConfigError(f"{labels}: {key} is not a mask value from 0 to 255")
    return int(key)


def _colour(key: str, labels: Path) -> int:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", key):
        raise ConfigError(f'{labels}: "{key}" is not a colour such as "#ff8000" (red, green, blue)')
    return int(key[1:], 16)


def _indices_of_colours(
    colours: NDArray[np.uint32], meaning: Mapping[int, int], *, where: str
) -> NDArray[np.uint8]:
    indices = np.full(colours.shape, IGNORE, np.uint8)
    known = np.zeros(colours.shape, bool)
    for colour, index in meaning.items():
        here = colours == colour
        indices[here] = index
        known |= here
    if not known.all():
        strange, counts = np.unique(colours[~known], return_counts=True)
        often = [f"#{strange[at]:06x}" for at in np.argsort(-counts, kind="stable")[:4]]
        raise InputError(
            f"{where}: mask has {len(strange)} undeclared colours ({', '.join(often)}) on "
            f"{int(counts.sum())} pixels; declare them in {LABELS}, and store masks as PNG: JPEG "
            "blurs their edges"
        )
    return indices
