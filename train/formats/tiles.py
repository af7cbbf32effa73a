"""Real pictures without smoke: tiles of clip mosaics that people labelled 0.

A mosaic is one video of many clips side by side, `grids/*.mp4`, with one yes or no a tile in
`tiles.csv` (columns grid, row, col, smoke_label, status). This is how the RISE recordings of
industrial stacks come. A label of the whole clip is no mask, so tiles labelled 1 are left out.

"No smoke" there is often white steam, which is what a network must not take for smoke.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.packages import need
from train.formats.folder_writer import Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["empty_tiles", "is_tiles"]

_TABLE = "tiles.csv"
_COLUMNS = {"grid", "row", "col", "smoke_label", "status"}
Place = tuple[int, int]  # row and column of a tile


def is_tiles(source: Path) -> bool:
    """Whether a folder looks like clip mosaics."""
    return (source / _TABLE).is_file() and (source / "grids").is_dir()


def empty_tiles(source: Path, *, grids: Collection[str], every: int) -> Iterator[Sample]:
    """Cut out the tiles labelled 0 with status ok; repeats of other tiles are left out.

    Args:
        source: folder with `tiles.csv` and `grids/`.
        grids: file names of the mosaics to take, suffix optional; empty takes all.
        every: take each Nth frame of a clip.

    Raises:
        InputError: when the table or a mosaic cannot be read.
        ConfigError: when a grid is not in the table or has no tile labelled 0.
    """
    places, side = _table(source / _TABLE)
    wanted = _wanted(source, places, grids)
    total = sum(len(places[grid]) for grid in wanted)
    with tqdm(total=total, desc="tiles", delay=2) as bar:
        for grid in wanted:
            file = source / "grids" / grid
            for number, frame in _frames(file, every):
                height, width = frame.shape[0] // side, frame.shape[1] // side
                if height * side != frame.shape[0] or width * side != frame.shape[1]:
                    raise InputError(
                        f"{file}: {frame.shape[1]}x{frame.shape[0]} pixels do not divide into the "
                        f"{side} x {side} tiles that {_TABLE} names"
                    )
                for row, col in places[grid]:
                    tile = frame[row * height :, col * width :][:height, :width]
                    name = f"{file.stem}-r{row}c{col}"
                    yield Sample(
                        f"{name}-f{number:03d}",
                        file.stem,
                        np.ascontiguousarray(tile),
                        None,
                        {"clip": name},
                    )
            bar.update(len(places[grid]))


def _table(file: Path) -> tuple[dict[str, list[Place]], int]:
    """Places of usable tiles by grid, and how many tiles stand side by side."""
    places: dict[str, list[Place]] = {}
    side = 0
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            reader = csv.DictReader(opened)
            if absent := _COLUMNS - set(reader.fieldnames or ()):
                raise InputError(f"{file}: has no column {', '.join(sorted(absent))}")
            for row in reader:
                place = int(row["row"]), int(row["col"])
                if min(place) < 0:
                    raise InputError(f"{file}: row or col {min(place)} is below 0")
                side = max(side, *(at + 1 for at in place))
                good = places.setdefault(row["grid"], [])
                if row["smoke_label"] == "0" and row["status"] == "ok":
                    good.append(place)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise InputError(f"{file}: cannot be read as a table of tiles ({error})") from error
    return places, side


def _wanted(source: Path, places: dict[str, list[Place]], grids: Collection[str]) -> list[str]:
    if not grids:
        return sorted(grid for grid, good in places.items() if good)
    by_name = {name: grid for grid in places for name in (grid, grid.rpartition(".")[0])}
    if strange := sorted(set(grids) - by_name.keys()):
        raise ConfigError(
            f"{source / _TABLE}: names no grid {', '.join(strange)}; it has {', '.join(places)}"
        )
    wanted = sorted({by_name[name] for name in grids})
    if full := [grid for grid in wanted if not places[grid]]:
        raise ConfigError(f"{source}: no tile of {', '.join(full)} is labelled 0; name another")
    return wanted


def _frames(file: Path, every: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    cv2 = need("cv2", extra="train")
    video = cv2.VideoCapture(str(file))
    number = 0
    try:
        while video.grab():
            if number % every == 0:
                there, frame = video.retrieve()
                if not there:
                    break
                yield number, np.asarray(frame, np.uint8)
            number += 1
    finally:
        video.release()
    if number == 0:
        raise InputError(f"{file}: holds no frame that can be decoded")
