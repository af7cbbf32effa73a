"""COCO instances: one JSON file of pictures, categories and polygons, run lengths or boxes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, IGNORE
from train.formats.folder_writer import Sample, safe_stem
from train.formats.request import (
    Imported,
    groups_of,
    index_of_names,
    labelled_by,
    picture_of,
    without_annotation,
)
from train.formats.shapes import Shape, box, counts_of_text, painted, polygon, run_lengths, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.formats.request import ImportRequest

__all__ = ["is_coco", "read_coco"]

_KEYS = ("images", "annotations", "categories")


def is_coco(source: Path) -> bool:
    """Whether a file is JSON that begins like COCO's."""
    if source.suffix.lower() != ".json" or not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(1 << 16).lstrip()[:1] == b"{"


def read_coco(request: ImportRequest) -> Imported:
    """Open a COCO file; pictures lie beside it, in images/ beside it, or where `pictures` says.

    Raises:
        InputError: when the file is no COCO or does not agree with itself.
        ConfigError: when it needs a decision that was not given.
    """
    content = _content(request.source)
    try:
        names = {each["id"]: str(each["name"]) for each in content["categories"]}
        pictures = {each["id"]: each for each in content["images"]}
        of_picture: dict[Any, list[dict[str, Any]]] = {key: [] for key in pictures}
        for annotation in content["annotations"]:
            if annotation["category_id"] not in names:
                raise InputError(
                    f"{request.source}: annotation {annotation.get('id')} has no category of the "
                    "file; export the labels anew"
                )
            of_picture[annotation["image_id"]].append(annotation)
        files = {key: str(each["file_name"]) for key, each in pictures.items()}
    except (KeyError, TypeError) as error:
        raise InputError(f"{request.source}: is no sound COCO file ({error!r})") from error
    index = index_of_names(names.values(), request)
    if request.boxes_as is None and any(
        not a.get("segmentation") for each in of_picture.values() for a in each
    ):
        raise ConfigError(
            f"{request.source}: some annotations are boxes without a mask; say --boxes-as ignore "
            "(inside a box nothing is learned) or --boxes-as filled (all of it is the object)"
        )
    bare = [files[key] for key, each in of_picture.items() if not each]
    if not without_annotation(bare, request):
        files = {key: name for key, name in files.items() if of_picture[key]}
    groups = groups_of(list(files.values()), request)
    folder = request.pictures or _folder(request.source)
    classes = {key: index[name] for key, name in names.items()}

    def samples() -> Iterator[Sample]:
        for key, name in tqdm(files.items(), "pictures", delay=2):
            where = f"{request.source}: {name}"
            size = size_of(pictures[key].get("height"), pictures[key].get("width"), where)
            shapes = [
                Shape(_index_of(a, classes, request), _pixels(a, size, where))
                for a in of_picture[key]
            ]
            yield Sample(
                safe_stem(name), groups[name], picture_of(folder, name), painted(size, shapes)
            )

    return Imported(labelled_by(index), samples())


def _index_of(annotation: dict[str, Any], classes: dict[Any, int], request: ImportRequest) -> int:
    """Class index of an annotation; that of a box is a decision of the request."""
    index = classes[annotation["category_id"]]
    if annotation.get("segmentation") or request.boxes_as == "filled" or index == BACKGROUND:
        return index
    return IGNORE


def _content(source: Path) -> dict[str, Any]:
    try:
        content = json.loads(source.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in _KEYS):
        raise InputError(f"{source}: is no COCO file; expected lists {', '.join(_KEYS)}")
    return content


def _folder(source: Path) -> Path:
    beside = source.parent / "images"
    return beside if beside.is_dir() else source.parent


def _pixels(annotation: dict[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    where = f"{where}, annotation {annotation.get('id')}"
    what = annotation.get("segmentation")
    try:
        if isinstance(what, dict):
            if list(what["size"]) != list(size):
                raise InputError(f"{where}: run lengths are for {what['size']} (height, width)")
            counts = what["counts"]
            runs = counts_of_text(counts, where) if isinstance(counts, str) else counts
            return run_lengths(runs, size, where, by_columns=True)
        if what:
            pixels = [polygon(list(zip(p[::2], p[1::2], strict=True)), size, where) for p in what]
            for each in pixels[1:]:
                pixels[0] |= each
            return pixels[0]
        left, top, width, height = (float(side) for side in annotation["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: is no sound annotation ({error!r})") from error
    return box(left, top, left + width, top + height, size, where)
