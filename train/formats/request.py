"""What an import is asked for, and the decisions that no format may take silently.

Boxes are not masks, a picture without annotation need not be one without gas, and pictures of one
scene must be known to belong together: each of these is asked for, or the import refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from train.formats.folder_writer import Sample

__all__ = ["Grouping", "ImportRequest", "Imported", "classes_of", "groups_of", "picture_of"]

Grouping = Literal["folder", "name", "run", "image"]
_INDEX_OF = {each.name: each.index for each in CLASSES} | {"ignore": IGNORE}
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the user says; each format takes what concerns it."""

    source: Path
    classes: Mapping[str, int] = field(default_factory=dict)  # their name -> class index or IGNORE
    pictures: Path | None = None  # folder of the pictures; None: where the format has them
    masks: Path | None = None  # folder or video of the masks; None: where the format has them
    boxes_as: Literal["ignore", "filled"] | None = None
    unlabelled: Literal["background", "skip"] | None = None
    group_by: Grouping | None = None
    every: int | None = None
    grids: tuple[str, ...] = ()
    threshold: int | None = None  # grey value from which a mask's pixel is gas or smoke


@dataclass(frozen=True, slots=True)
class Imported:
    """What a format gives: the classes that its masks tell apart, and its samples."""

    labelled: frozenset[int] | None  # None: pictures without gas, and no masks
    samples: Iterable[Sample]


def classes_of(pairs: Sequence[str]) -> dict[str, int]:
    """Read NAME=CLASS pairs of the command line.

    Raises:
        ConfigError: when a pair is none or names no class.
    """
    classes = {}
    for pair in pairs:
        name, equals, known = pair.rpartition("=")
        if not equals or known not in _INDEX_OF:
            raise ConfigError(f"--map {pair}: expected NAME=CLASS, CLASS of {', '.join(_INDEX_OF)}")
        classes[name] = _INDEX_OF[known]
    return classes


def index_of_names(names: Iterable[str], request: ImportRequest) -> dict[str, int]:
    """Class index of each of the source's names: as mapped, or of a class of the very name.

    Raises:
        ConfigError: when a name means nothing here, a mapped name is not there, or no name is gas.
    """
    there = list(dict.fromkeys(names))
    if strange := [n for n in there if n not in request.classes and n not in _INDEX_OF]:
        raise ConfigError(
            f"{request.source}: unknown names {', '.join(strange[:_SHOWN])}; say what each means "
            f"with --map NAME=CLASS, CLASS of {', '.join(_INDEX_OF)}"
        )
    if absent := [name for name in request.classes if name not in there]:
        raise ConfigError(
            f"{request.source}: has no name {', '.join(absent)}, which --map names; it has "
            + (", ".join(there) or "none")
        )
    index = {name: request.classes.get(name, _INDEX_OF.get(name, BACKGROUND)) for name in there}
    if GAS_SMOKE not in index.values():
        raise ConfigError(
            f"{request.source}: no name means gas-smoke ({', '.join(there) or 'it has none'}); "
            "without it a network would learn to overlook leaks: --map NAME=gas-smoke"
        )
    return index


def labelled_by(index: Mapping[str, int]) -> frozenset[int]:
    """The classes that masks tell apart once every name has its class."""
    return frozenset({BACKGROUND, *index.values()}) - {IGNORE}


def without_annotation(names: Sequence[str], request: ImportRequest) -> bool:
    """Whether pictures without any annotation are taken, as background.

    Raises:
        ConfigError: when there are any and nothing was said about them.
    """
    if names and request.unlabelled is None:
        raise ConfigError(
            f"{request.source}: {len(names)} pictures have no annotation ({names[0]} ...); if they "
            "show no gas say --unlabelled background, else --unlabelled skip"
        )
    return request.unlabelled == "background"


def groups_of(names: Sequence[str], request: ImportRequest) -> dict[str, str]:
    """Group of each picture name, which may have folders.

    folder: its folder. name: its name without the number at the end. run: the same, and a new one
    wherever the numbers leave a gap. image: itself.

    Raises:
        ConfigError: when nothing was said and the pictures do not lie in several folders.
    """
    folders = {name: str(PurePosixPath(name).parent) for name in names}
    way = request.group_by or ("folder" if len(set(folders.values())) > 1 else None)
    if way is None:
        raise ConfigError(
            f"{request.source}: say which pictures belong together, as frames of one scene do: "
            "--group-by folder, name (without its number), run (of numbers) or image"
        )
    ways: dict[str, Callable[[], dict[str, str]]] = {
        "folder": lambda: folders,
        "image": lambda: {name: name for name in names},
        "name": lambda: {name: _numbered(name)[0] for name in names},
        "run": lambda: _runs(names),
    }
    return ways[way]()


def _numbered(name: str) -> tuple[str, int]:
    base = str(PurePosixPath(name).with_suffix(""))
    digits = re.search(r"\d+$", base)
    start = base[: digits.start()].rstrip("_-. ") if digits else base
    return start or "all", int(digits.group()) if digits else -1


def _runs(names: Sequence[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    before: tuple[str, int] | None = None
    group = ""
    for start, number, name in sorted((*_numbered(name), name) for name in names):
        if before is None or before[0] != start or number > before[1] + 1:
            group = f"{start}-{number}"
        groups[name] = group
        before = start, number
    return groups


def picture_of(folder: Path, name: str) -> Path:
    """The file of a picture that an annotation names; never one outside the folder.

    Raises:
        InputError: when it is not there.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    file = folder / path
    if path.is_absolute() or ".." in path.parts or not file.is_file():
        raise InputError(f"{folder}: holds no picture {name}; say where with --pictures")
    return file
