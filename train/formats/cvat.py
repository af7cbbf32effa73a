"""CVAT for images 1.1: one XML file of pictures with polygons, boxes and masks.

The file is read without entities and without a document type: XML is old enough to be a bomb.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, IGNORE
from contract.packages import need
from train.formats.folder_writer import Sample, safe_stem
from train.formats.request import (
    Imported,
    groups_of,
    index_of_names,
    labelled_by,
    picture_of,
    without_annotation,
)
from train.formats.shapes import Shape, box, painted, polygon, run_lengths, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.formats.request import ImportRequest

__all__ = ["is_cvat", "read_cvat"]

_AREAS = ("polygon", "box", "mask")
_NO_AREAS = ("tag",)  # says something of the whole picture


def is_cvat(source: Path) -> bool:
    """Whether a file is XML that names CVAT's root."""
    if source.suffix.lower() != ".xml" or not source.is_file():
        return False
    with source.open("rb") as file:
        return b"<annotations" in file.read(1 << 16)


def read_cvat(request: ImportRequest) -> Imported:
    """Open a CVAT file; pictures lie beside it, in images/ beside it, or where `pictures` says.

    Raises:
        InputError: when the file is no CVAT for images or has shapes without an area.
        ConfigError: when it needs a decision that was not given.
    """
    root = _root(request.source)
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise InputError(
            f"{request.source}: holds no image of CVAT for images"
            + ("; export tracks as CVAT for images too" if root.find("track") is not None else "")
        )
    areas = {each.get("name", ""): _areas(each, request) for each in images}
    if len(areas) < len(images):
        raise InputError(f"{request.source}: two images have one name; export the labels anew")
    index = index_of_names(_names(root, areas), request)
    if request.boxes_as is None and any(a.tag == "box" for each in areas.values() for a in each):
        raise ConfigError(
            f"{request.source}: has boxes, which are no masks; say --boxes-as ignore (inside a box "
            "nothing is learned) or --boxes-as filled (all of it is the object)"
        )
    if not without_annotation([name for name, each in areas.items() if not each], request):
        areas = {name: each for name, each in areas.items() if each}
    groups = groups_of(list(areas), request)
    beside = request.source.parent / "images"
    folder = request.pictures or (beside if beside.is_dir() else request.source.parent)

    def samples() -> Iterator[Sample]:
        for image in tqdm(images, "pictures", delay=2):
            name = image.get("name", "")
            if name not in areas:
                continue
            where = f"{request.source}: {name}"
            size = size_of(image.get("height"), image.get("width"), where)
            shapes = [
                Shape(_index_of(area, index, request), _pixels(area, size, where))
                for area in areas[name]
            ]
            picture = picture_of(folder, name)
            yield Sample(safe_stem(name), groups[name], picture, painted(size, shapes))

    return Imported(labelled_by(index), samples())


def _root(source: Path) -> Any:
    tree = need("defusedxml.ElementTree", extra="train")
    from xml.etree.ElementTree import ParseError

    try:
        return tree.fromstring(source.read_bytes(), forbid_dtd=True)
    except (OSError, ParseError, ValueError) as error:  # defusedxml's are ValueErrors
        raise InputError(f"{source}: cannot be read as plain XML ({error!r})") from error


def _areas(image: Any, request: ImportRequest) -> list[Any]:
    for shape in image:
        if shape.tag not in (*_AREAS, *_NO_AREAS):
            raise InputError(
                f"{request.source}: {image.get('name')} has a {shape.tag}, which covers no known "
                f"pixels; use {', '.join(_AREAS)}"
            )
    return [shape for shape in image if shape.tag in _AREAS]


def _names(root: Any, areas: dict[str, list[Any]]) -> list[str]:
    declared = [each.text or "" for each in root.iterfind("meta//labels/label/name")]
    return declared + [area.get("label", "") for each in areas.values() for area in each]


def _index_of(area: Any, index: dict[str, int], request: ImportRequest) -> int:
    known = index[area.get("label", "")]
    is_area = area.tag != "box" or request.boxes_as == "filled" or known == BACKGROUND
    return known if is_area else IGNORE


def _pixels(area: Any, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    try:
        if area.tag == "polygon":
            points = [pair.split(",") for pair in area.attrib["points"].split(";")]
            return polygon([(float(x), float(y)) for x, y in points], size, where)
        if area.tag == "box":
            return _box(area, size, where)
        return _mask(area, size, where)
    except (KeyError, ValueError) as error:
        raise InputError(f"{where}: has a {area.tag} that is not sound ({error!r})") from error


def _box(area: Any, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    left, top, right, bottom = (float(area.attrib[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(float(area.get("rotation", 0)))
    if not angle:
        return box(left, top, right, bottom, size, where)
    x, y = (left + right) / 2, (top + bottom) / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    turned = [
        (x + (a - x) * cosine - (b - y) * sine, y + (a - x) * sine + (b - y) * cosine)
        for a, b in corners
    ]
    return polygon(turned, size, where)


def _mask(area: Any, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    import numpy as np

    counts = [int(run) for run in area.attrib["rle"].split(",")]
    left, top, width, height = (
        int(float(area.attrib[key])) for key in ("left", "top", "width", "height")
    )
    if min(left, top) < 0 or top + height > size[0] or left + width > size[1]:
        raise InputError(f"{where}: a mask lies outside its picture; export the labels anew")
    pixels = np.zeros(size, np.bool_)
    pixels[top : top + height, left : left + width] = run_lengths(
        counts, (height, width), where, by_columns=False
    )
    return pixels
