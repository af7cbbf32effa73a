"""Mosaics of short clips with a label for each tile, as RISE is laid out on disk.

tiles.csv     grid, row, col, smoke_label (1 smoke, 0 none), status (only "ok" is taken)
grids/<grid>  a video whose picture is rows x columns of square tiles
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError
from contract.video import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Mosaics", "Tile"]

_TABLE = "tiles.csv"
_LABELS = {"0": False, "1": True}
_COLUMNS = ("grid", "row", "col", "smoke_label", "status")


@dataclass(frozen=True, slots=True)
class Tile:
    """One short clip inside a mosaic."""

    grid: str
    row: int
    column: int
    with_smoke: bool

    @property
    def name(self) -> str:
        """The mosaic, row and column."""
        return f"{self.grid} {self.row},{self.column}"


@dataclass(frozen=True, slots=True)
class Mosaics:
    """An opened folder of mosaics."""

    path: Path
    tiles: tuple[Tile, ...]
    per_side: dict[str, int]  # tiles across each mosaic, repeats included

    @classmethod
    def open(cls, path: Path, grids: Sequence[str] = ()) -> Mosaics:
        """Read the table.

        Args:
            path: the folder.
            grids: names or patterns of the mosaics to take; empty takes all.

        Raises:
            InputError: when the table cannot be used, or a pattern selects nothing.
        """
        file = path / _TABLE
        try:
            with file.open(newline="", encoding="utf-8") as opened:
                reader = csv.DictReader(opened)
                if missing := [c for c in _COLUMNS if c not in (reader.fieldnames or ())]:
                    raise InputError(f"{file}: has no column {', '.join(missing)}")
                rows = list(reader)
            every = [
                (
                    Tile(r["grid"], int(r["row"]), int(r["col"]), _LABELS[r["smoke_label"]]),
                    r["status"],
                )
                for r in rows
            ]
        except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
            raise InputError(f"{file}: cannot be read as a table of tiles ({error})") from error
        except KeyError as error:
            raise InputError(f"{file}: smoke_label {error} is neither 0 nor 1") from error
        names = sorted({tile.grid for tile, _ in every})
        for pattern in grids:
            if not any(fnmatch(name, pattern) for name in names):
                raise InputError(f"{file}: no grid is called {pattern}; it has {', '.join(names)}")
        taken = {n for n in names if not grids or any(fnmatch(n, p) for p in grids)}
        tiles = tuple(tile for tile, status in every if status == "ok" and tile.grid in taken)
        if not tiles:
            raise InputError(f"{file}: lists no tile with status ok")
        per_side = {
            name: 1 + max(max(t.row, t.column) for t, _ in every if t.grid == name)
            for name in taken
        }
        return cls(path, tiles, per_side)

    @property
    def grids(self) -> list[str]:
        """Names of the mosaics, sorted."""
        return sorted({tile.grid for tile in self.tiles})

    def of(self, grid: str) -> list[Tile]:
        """Tiles of one mosaic."""
        return [tile for tile in self.tiles if tile.grid == grid]

    def frames(self, grid: str, every: int) -> Iterator[NDArray[np.uint8]]:
        """Every so many-th frame of one mosaic, (h, w, 3) BGR."""
        with VideoFile(self.path / "grids" / grid) as video:
            for _, frame in video.frames(every):
                yield frame

    def cut(self, grid: str, frame: NDArray[np.uint8]) -> Iterator[tuple[Tile, NDArray[np.uint8]]]:
        """Each tile of a mosaic's frame with its picture.

        Raises:
            InputError: when the frame is not made of square tiles.
        """
        side = frame.shape[0] // self.per_side[grid]
        if frame.shape[0] != frame.shape[1] or frame.shape[0] % self.per_side[grid] or side < 1:
            raise InputError(
                f"{self.path / 'grids' / grid}: frames are {frame.shape[1]}x{frame.shape[0]}; "
                f"expected {self.per_side[grid]} square tiles each way"
            )
        for tile in self.of(grid):
            top, left = tile.row * side, tile.column * side
            yield tile, np.ascontiguousarray(frame[top : top + side, left : left + side])
