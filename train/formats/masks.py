"""Pictures and masks that lie otherwise than ours: other folders, other endings, soft edges.

Masks mean what `--map VALUE=CLASS` says, VALUE a grey value or a colour such as #ff0000; or what
their values say of themselves; or, with a threshold, bright is gas or smoke.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.mask_meaning import MaskMeaning, declared_meaning, meaning_of_values
from contract.pictures import PICTURE_SUFFIXES, read_mask_values
from train.formats.folder_writer import Sample, safe_stem
from train.formats.request import Imported, groups_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from train.formats.request import ImportRequest

__all__ = ["is_masks", "mask_reader", "read_masks"]

_ENDING = re.compile(r"[-_. ](mask|masks|gt|label|labels|seg)$", re.IGNORECASE)


def is_masks(source: Path) -> bool:
    """Whether a folder has masks in a folder beside its pictures."""
    return (source / "images").is_dir() and (source / "masks").is_dir()


def read_masks(request: ImportRequest) -> Imported:
    """Open folders of pictures and masks; a mask has its picture's name, or that and `_mask`.

    Raises:
        InputError: when a picture has no mask.
        ConfigError: when it needs a decision that was not given.
    """
    folder = request.pictures or request.source / "images"
    pictures = _files(folder)
    masks = _files(request.masks or request.source / "masks")
    by_name = {_ENDING.sub("", name): path for name, path in masks.items()} | masks
    if bare := [name for name in pictures if name not in by_name]:
        raise InputError(
            f"{folder}: no mask for {', '.join(bare[:5])} ({len(bare)} of {len(pictures)}); say "
            "where with --masks, or take the pictures out"
        )
    labelled, read = mask_reader(request, [by_name[name] for name in pictures])
    names = {path.relative_to(folder).as_posix(): name for name, path in pictures.items()}
    groups = groups_of(list(names), request)

    def samples() -> Iterator[Sample]:
        for file, name in tqdm(names.items(), "pictures", delay=2):
            yield Sample(safe_stem(file), groups[file], pictures[name], read(by_name[name]))

    return Imported(labelled, samples())


def mask_reader(
    request: ImportRequest, masks: list[Path]
) -> tuple[frozenset[int], Callable[[Path], NDArray[np.uint8]]]:
    """How to read masks as class indices, and the classes that they tell apart.

    Raises:
        ConfigError: when the request contradicts itself or maps nothing to gas.
    """
    if request.threshold is not None:
        if request.classes:
            raise ConfigError("--threshold makes bright pixels gas-smoke; --map has no part in it")
        at = request.threshold

        def above(path: Path) -> NDArray[np.uint8]:
            return np.where(read_mask_values(path) >= at, GAS_SMOKE, BACKGROUND).astype(np.uint8)

        return frozenset({BACKGROUND, GAS_SMOKE}), above
    if request.classes:
        meaning = _mapped(request)
    else:
        declared = declared_meaning(request.source) if request.source.is_dir() else None
        meaning = declared or meaning_of_values(request.source, masks)
    return meaning.labelled, meaning.read


def _mapped(request: ImportRequest) -> MaskMeaning:
    values, colours = {}, {}
    for key, index in request.classes.items():
        if re.fullmatch(r"#[0-9A-Fa-f]{6}", key):
            colours[int(key[1:], 16)] = index
        elif key.isdecimal() and int(key) <= 255:
            values[int(key)] = index
        else:
            raise ConfigError(f"--map {key}: expected a value from 0 to 255 or a colour (#ff0000)")
    if values and colours:
        raise ConfigError("--map: masks hold grey values or colours, not both")
    if GAS_SMOKE not in request.classes.values():
        raise ConfigError("--map: no value means gas-smoke; without it a network overlooks leaks")
    return MaskMeaning(values=values, colours=colours)


def _files(folder: Path) -> dict[str, Path]:
    """Pictures of a folder and those in it, by their path without suffix."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; say where with --pictures and --masks")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise InputError(f"{folder}: more than one file named {name}; keep one")
            found[name] = path
    return found
