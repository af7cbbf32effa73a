"""Real pictures without smoke: tiles of clip mosaics that people labelled 0.

This is how the RISE recordings of industrial stacks come. A label of the whole clip is no mask, so
tiles labelled 1 are left out. "No smoke" there is often white steam, which is what a network must
not take for smoke.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from contract.errors import ConfigError
from contract.mosaics import Mosaics
from train.formats.folder_writer import Sample
from train.formats.request import Imported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from train.formats.request import ImportRequest

__all__ = ["is_tiles", "read_tiles"]

_EVERY = 12  # frames; RISE clips have 37


def is_tiles(source: Path) -> bool:
    """Whether a folder looks like clip mosaics."""
    return (source / "tiles.csv").is_file() and (source / "grids").is_dir()


def read_tiles(request: ImportRequest) -> Imported:
    """Open mosaics; tiles labelled 0 with status ok are taken, from each Nth frame of a clip.

    Raises:
        InputError: when the table or a mosaic cannot be read.
        ConfigError: when a mosaic has no tile labelled 0.
    """
    mosaics = Mosaics.open(request.source, request.grids)
    empty = {grid: [t for t in mosaics.of(grid) if not t.with_smoke] for grid in mosaics.grids}
    if request.grids and (full := [grid for grid, tiles in empty.items() if not tiles]):
        raise ConfigError(f"{request.source}: no tile of {', '.join(full)} is labelled 0")
    every = request.every or _EVERY

    def samples() -> Iterator[Sample]:
        for grid in tqdm([grid for grid, tiles in empty.items() if tiles], "mosaics", delay=2):
            stem = grid.rpartition(".")[0] or grid
            for number, frame in enumerate(mosaics.frames(grid, every)):
                for tile, picture in mosaics.cut(grid, frame):
                    if tile.with_smoke:
                        continue
                    clip = f"{stem}-r{tile.row}c{tile.column}"
                    name = f"{clip}-f{number * every:03d}"
                    yield Sample(name, stem, picture, None, {"clip": clip})

    return Imported(None, samples())
