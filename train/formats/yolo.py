"""YOLO: `images/` and `labels/` with a text file a picture.

A line is `class cx cy w h` for a box or `class x1 y1 x2 y2 x3 y3 ...` for a polygon, in shares of
the picture. An empty file says that the picture shows nothing; a missing one says nothing. The
names of the classes are those of data.yaml, classes.txt or obj.names, else their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, IGNORE
from contract.packages import need
from contract.pictures import PICTURE_SUFFIXES, read_picture
from train.formats.folder_writer import Sample, safe_stem
from train.formats.request import (
    Imported,
    groups_of,
    index_of_names,
    labelled_by,
    without_annotation,
)
from train.formats.shapes import Shape, box, painted, polygon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from train.formats.request import ImportRequest

__all__ = ["is_yolo", "read_yolo"]

Line = tuple[str, list[float]]  # class and numbers
_LISTS = ("classes.txt", "obj.names")
_BOX = 4  # numbers


def is_yolo(source: Path) -> bool:
    """Whether a folder has labels in text files beside its pictures."""
    labels = source / "labels"
    return (source / "images").is_dir() and labels.is_dir() and any(labels.rglob("*.txt"))


def read_yolo(request: ImportRequest) -> Imported:
    """Open a YOLO folder.

    Raises:
        InputError: when a label file is not sound.
        ConfigError: when it needs a decision that was not given.
    """
    source = request.source
    folder = request.pictures or source / "images"
    if not folder.is_dir() or not (source / "labels").is_dir():
        raise InputError(f"{source}: expected the folders images/ and labels/")
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    }
    known = _known_names(source)
    labels = {name: _lines(source / "labels", name, known) for name in files}
    used = [kind for lines in labels.values() for kind, _ in lines or ()]
    index = index_of_names([*known.values(), *used], request)
    boxes = any(len(n) == _BOX for lines in labels.values() for _, n in lines or ())
    if boxes and request.boxes_as is None:
        raise ConfigError(
            f"{source}: its labels are boxes, which are no masks; say --boxes-as ignore (inside a "
            "box nothing is learned) or --boxes-as filled (all of it is the object)"
        )
    if not without_annotation([name for name, each in labels.items() if each is None], request):
        files = {name: path for name, path in files.items() if labels[name] is not None}
    groups = groups_of(list(files), request)

    def samples() -> Iterator[Sample]:
        for name, path in tqdm(files.items(), "pictures", delay=2):
            height, width = read_picture(path).shape[:2]
            shapes = [
                _shape(line, index, (height, width), request, f"{source}: label of {name}")
                for line in labels[name] or ()
            ]
            yield Sample(safe_stem(name), groups[name], path, painted((height, width), shapes))

    return Imported(labelled_by(index), samples())


def _known_names(source: Path) -> dict[str, str]:
    """Name of each class number."""
    for file in (source / name for name in _LISTS):
        if file.is_file():
            return {str(at): n for at, n in enumerate(file.read_text("utf-8").splitlines()) if n}
    file = source / "data.yaml"
    if not file.is_file():
        return {}
    yaml = need("yaml", extra="train")
    try:
        names = yaml.safe_load(file.read_text("utf-8"))["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {str(at): str(name) for at, name in pairs}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: gives no names of classes ({error!r})") from error


def _lines(folder: Path, name: str, known: dict[str, str]) -> list[Line] | None:
    file = (folder / name).with_suffix(".txt")
    if not file.is_file():
        return None
    lines: list[Line] = []
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not (words := line.split()):
            continue
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = []
        inside = np.isfinite(values).all() and all(-0.01 <= value <= 1.01 for value in values)
        if not inside or not (len(values) == _BOX or (len(values) >= 6 and len(values) % 2 == 0)):
            raise InputError(
                f"{file}:{number}: {line.strip()[:60]!r} is neither a box (class cx cy w h) nor a "
                "polygon (class x y x y x y ...) in shares of the picture"
            )
        lines.append((known.get(words[0], words[0]), values))
    return lines


def _shape(
    line: Line, index: dict[str, int], size: tuple[int, int], request: ImportRequest, where: str
) -> Shape:
    kind, values = line
    known = index[kind]
    height, width = size
    if len(values) != _BOX:
        points = [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True)]
        return Shape(known, polygon(points, size, where))
    x, y, across, down = values
    sides = (x - across / 2) * width, (y - down / 2) * height
    pixels = box(*sides, sides[0] + across * width, sides[1] + down * height, size, where)
    as_is = request.boxes_as == "filled" or known == BACKGROUND
    return Shape(known if as_is else IGNORE, pixels)
