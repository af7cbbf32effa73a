"""A folder of pictures and masks: `images/` and `masks/` with the same stems.

What a mask's pixels mean is decided once for the whole folder: see `contract.mask_meaning`. A
folder that is declared empty, by `labels.toml` or by whoever opens it, has no masks, and its
pictures may lie in it directly.

Pictures are taken as a viewer shows them, Exif rotation applied; masks lie over that.

`weights/`, where there is one, says how far a loss may trust each pixel of a mask: grey pictures
with the same stems, 255 for fully, 0 for not at all. A stem without one is fully trusted.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND
from contract.mask_meaning import EMPTY, LABELS, MaskMeaning, declared_meaning, meaning_of_values
from contract.pictures import picture_folder, pictures_in, read_mask_values, read_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["LABELS", "DataFolder", "read_stems"]

_INDEXES = ("index.csv", "scenes.csv")
_GROUPS = ("scene_group", "scene", "group")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """An opened folder; iterating gives (stem, picture BGR (h, w, 3), class indices (h, w))."""

    path: Path
    names: tuple[str, ...]  # stems, sorted
    meaning: MaskMeaning
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    weights: Mapping[str, Path]  # empty where the folder has none

    @classmethod
    def open(
        cls, path: Path, only: Sequence[str] | None = None, *, empty: bool = False
    ) -> DataFolder:
        """Pair every picture with its mask and decide what mask values mean.

        Args:
            path: the folder that holds `images/` and `masks/`.
            only: stems to take; None takes all. The meaning of values is that of all masks.
            empty: no picture shows gas or smoke and there are no masks.

        Raises:
            InputError: when the folder is empty, a picture has no mask, two pictures share a
                stem, a stem of `only` is not there, or a mask cannot be read.
            ConfigError: when `labels.toml` is wrong or says other than `empty`.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: is not a folder")
        declared = declared_meaning(path)
        if empty or (declared and declared.empty):
            if (path / "masks").is_dir() or (declared and not declared.empty):
                raise ConfigError(
                    f"{path}: is said to be empty, yet it has masks/ or a {LABELS} for them; take "
                    "one of both away"
                )
            images = _by_stem(picture_folder(path))
            names = _chosen(path, images, only)
            return cls(path, names, EMPTY, images, {}, {})
        for name in ("images", "masks"):
            if not (path / name).is_dir():
                raise InputError(
                    f"{path}: has no folder {name}/; expected images/ and masks/ (pictures with no "
                    "gas in any need no masks: say empty = true in the training's [[data]], or in "
                    f"{LABELS})"
                )
        images = _by_stem(path / "images")
        masks = _by_stem(path / "masks")
        if unmasked := sorted(images.keys() - masks.keys()):
            raise InputError(f"{path}: no mask for {_some(unmasked)}; add masks/<same stem>.png")
        if orphans := sorted(masks.keys() - images.keys()):
            _log.warning("%s: no picture for mask %s; left out", path, _some(orphans))
        names = _chosen(path, images, only)
        meaning = declared or meaning_of_values(path, [masks[name] for name in sorted(images)])
        weights = _by_stem(path / "weights") if (path / "weights").is_dir() else {}
        return cls(path, names, meaning, images, masks, weights)

    @property
    def labelled(self) -> frozenset[int]:
        """The classes that the masks tell apart."""
        return self.meaning.labelled

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        for name in self.names:
            yield (name, *self.read(name))

    def read(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read one stem: picture (h, w, 3) BGR and class indices (h, w).

        Raises:
            InputError: when either file cannot be used or their sizes differ.
        """
        picture = read_picture(self.images[name])
        if self.meaning.empty:
            return picture, np.full(picture.shape[:2], BACKGROUND, np.uint8)
        mask = self.meaning.read(self.masks[name])
        if mask.shape != picture.shape[:2]:
            height, width = picture.shape[:2]
            turned = mask.shape == (width, height)
            raise InputError(
                f"{self.masks[name]}: is {mask.shape[1]}x{mask.shape[0]}, its picture "
                f"{self.images[name].name} is {width}x{height}"
                + (" once turned as its Exif data say; turn the mask too" if turned else "")
            )
        return picture, mask

    def read_weights(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """Read how far each pixel of a stem's mask is trusted, (h, w), 255 is fully; None is all.

        Args:
            name: the stem.
            shape: of its mask.

        Raises:
            InputError: when the file cannot be used or is not of that shape.
        """
        if name not in self.weights:
            return None
        weights = read_mask_values(self.weights[name])
        if weights.shape != shape:
            raise InputError(
                f"{self.weights[name]}: is {weights.shape[1]}x{weights.shape[0]}, its mask is "
                f"{shape[1]}x{shape[0]}; they must lie over each other"
            )
        return weights

    @property
    def has_index(self) -> bool:
        """Whether a file in the folder says which pictures belong together."""
        return any((self.path / name).is_file() for name in _INDEXES)

    def groups(self, index: str | None = None, column: str | None = None) -> dict[str, str]:
        """Group of every stem, so that near-duplicates stay on one side of a split.

        Args:
            index: CSV file in the folder whose first column is the picture's file or stem; None
                takes `index.csv` or `scenes.csv` where there is one.
            column: its column with the group; None takes scene_group, scene or group.

        Returns:
            Stem -> group; each stem its own group where there is no index.

        Raises:
            ConfigError: when the named index or column is not there, or there is no index for it.
            InputError: when the index leaves a stem out.
        """
        found = [index] if index else [name for name in _INDEXES if (self.path / name).is_file()]
        if not found and column:
            raise ConfigError(
                f"{self.path}: has no {' or '.join(_INDEXES)} with a column {column} for groups"
            )
        if not found:
            return {name: name for name in self.names}
        file = self.path / found[0]
        try:
            with file.open(newline="", encoding="utf-8") as opened:
                reader = csv.DictReader(opened)
                columns = list(reader.fieldnames or ())
                rows = list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(f"{file}: cannot be read as CSV ({error})") from error
        chosen = column or next((name for name in _GROUPS if name in columns), None)
        if chosen is None or chosen not in columns:
            raise ConfigError(
                f"{file}: has no column {column or ' or '.join(_GROUPS)}; it has {columns}"
            )
        known = {_stem(row[columns[0]], self.images): row[chosen] for row in rows}
        if left_out := [name for name in self.names if not known.get(name)]:
            raise InputError(f"{file}: gives no {chosen} for {_some(left_out)}")
        return {name: known[name] for name in self.names}


def read_stems(path: Path) -> list[str]:
    """Read a split list: one stem a line; empty lines and lines after `#` do not count.

    Raises:
        InputError: when it cannot be read or names nothing.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    stems = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not any(stems):
        raise InputError(f"{path}: names no picture; expected one stem a line")
    return [stem for stem in stems if stem]


def _stem(cell: str, images: Mapping[str, Path]) -> str:
    """A CSV cell may hold the stem, which may have dots of its own, or the file's name."""
    return cell if cell in images else Path(cell).stem


def _by_stem(folder: Path) -> dict[str, Path]:
    files = pictures_in(folder)
    twice = [stem for stem, n in Counter(file.stem for file in files).items() if n > 1]
    if twice:
        raise InputError(f"{folder}: more than one file named {_some(sorted(twice))}; keep one")
    return {file.stem: file for file in files}


def _chosen(path: Path, images: Mapping[str, Path], only: Sequence[str] | None) -> tuple[str, ...]:
    if only is None:
        return tuple(sorted(images))
    if absent := sorted(set(only) - images.keys()):
        raise InputError(f"{path}: holds no picture {_some(absent)}")
    if not only:
        raise InputError(f"{path}: the list selects no picture")
    return tuple(sorted(set(only)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
