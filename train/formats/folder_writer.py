"""Write imported pictures and masks as a data folder, whole or not at all."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.atomic import new_folder
from contract.errors import GasedgeError, InputError
from contract.label_map import CLASSES, IGNORE
from contract.mask_meaning import LABELS
from contract.packages import need
from contract.pictures import read_picture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["FolderWritten", "Sample", "safe_stem", "write_folder"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known of it."""

    stem: str
    group: str  # scene, clip or camera: what stays on one side of a split
    picture: Path | NDArray[np.uint8]  # a file, copied as it is, or (h, w, 3) BGR
    mask: NDArray[np.uint8] | None  # (h, w) class indices; None where the folder has no masks
    details: Mapping[str, str] = field(default_factory=dict)  # more columns of index.csv
    weights: NDArray[np.uint8] | None = None  # (h, w), 255 is full; None trusts the whole mask


@dataclass(frozen=True, slots=True)
class FolderWritten:
    """What an import wrote."""

    path: Path
    pictures: int
    groups: int
    pixels: dict[str, int]  # by class name and "ignore"; none where there are no masks


def write_folder(
    out: Path, samples: Iterable[Sample], labelled: Collection[int] | None
) -> FolderWritten:
    """Write a new data folder.

    Args:
        out: the folder, which must not be there yet.
        samples: in any order.
        labelled: the classes that the masks tell apart; None writes a folder without masks whose
            pictures show no gas.

    Raises:
        InputError: when there is no sample, two share a stem, or a mask does not fit its picture.
        GasedgeError: when `out` is there or the disk refuses.
    """
    with new_folder(out) as partial:
        (partial / "images").mkdir()
        if labelled is not None:
            (partial / "masks").mkdir()
        rows: list[dict[str, str]] = []
        stems: set[str] = set()
        pixels = np.zeros(256, np.int64)
        for sample in samples:
            if sample.stem in stems:
                raise InputError(
                    f"two pictures would both be named {sample.stem}; rename one of them"
                )
            stems.add(sample.stem)
            file = _write_picture(partial / "images", sample)
            if sample.mask is not None:
                _write_png(partial / "masks" / f"{sample.stem}.png", sample.mask)
                pixels += np.bincount(sample.mask.ravel(), minlength=256)
            if sample.weights is not None:
                (partial / "weights").mkdir(exist_ok=True)
                _write_png(partial / "weights" / f"{sample.stem}.png", sample.weights)
            rows.append({"image": file, "group": sample.group, **sample.details})
        if not rows:
            raise InputError(f"{out}: nothing to write: no picture was found; nothing was kept")
        (partial / "index.csv").write_text(_csv(rows), encoding="utf-8")
        (partial / LABELS).write_text(_labels(labelled), encoding="utf-8")
    names = {each.index: each.name for each in CLASSES} | {IGNORE: "ignore"}
    counts = {name: int(pixels[index]) for index, name in names.items() if pixels[index]}
    return FolderWritten(out, len(rows), len({row["group"] for row in rows}), counts)


def safe_stem(name: str) -> str:
    """Turn a picture's name, with folders, into a file stem of its own: cam1/7.jpg -> cam1-7."""
    stem = re.sub(r"[^\w.-]+", "-", str(Path(name).with_suffix(""))).lstrip(".-")
    if not stem:
        raise InputError(f"{name!r} is no name for a picture; rename it")
    return stem


def _write_picture(folder: Path, sample: Sample) -> str:
    picture, mask = sample.picture, sample.mask
    if isinstance(picture, Path):
        pixels = read_picture(picture)  # a broken one is found here, not in a training
        name = sample.stem + picture.suffix.lower()
        (folder / name).write_bytes(picture.read_bytes())
    else:
        pixels = picture
        name = f"{sample.stem}.png"
        _write_png(folder / name, picture)
    if mask is not None and mask.shape != pixels.shape[:2]:
        raise InputError(
            f"{sample.stem}: its labels are for {mask.shape[1]}x{mask.shape[0]} pixels, its "
            f"picture is {pixels.shape[1]}x{pixels.shape[0]} as a viewer shows it; "
            "export labels and pictures anew, from the same files"
        )
    return name


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    cv2 = need("cv2", extra="train")
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise GasedgeError(f"{path}: cannot be encoded")
    path.write_bytes(data.tobytes())


def _csv(rows: list[dict[str, str]]) -> str:
    table = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _labels(labelled: Collection[int] | None) -> str:
    if labelled is None:
        return "empty = true\n"
    lines = [f'{each.index} = "{each.name}"\n' for each in CLASSES if each.index in labelled]
    return "".join(["[values]\n", *lines, f'{IGNORE} = "ignore"\n'])
