"""A contact sheet: pictures of a data folder with the outlines of their masks.

The choice is spread over the sizes of plumes, so that the smallest and the largest are both seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.atomic import write_bytes
from contract.errors import ConfigError, GasedgeError
from contract.label_map import CLASSES, GAS_SMOKE, IGNORE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.data_folder import DataFolder

__all__ = ["spread_over_sizes", "write_contact_sheet"]

_CELL = (240, 180)  # pixels of a picture on the sheet, width and height
_CAPTION = 18
_GAP = 6
_ACROSS = 6


def spread_over_sizes(shares: Sequence[float], count: int, seed: int) -> list[int]:
    """Positions of `count` pictures, one drawn from each of as many bands of plume size."""
    order = np.argsort(np.asarray(shares), kind="stable")
    random = np.random.default_rng([seed, 31])
    bands = np.array_split(order, min(count, len(order)))
    return [int(random.choice(band)) for band in bands]


def write_contact_sheet(folder: DataFolder, out: Path, *, count: int, seed: int) -> int:
    """Write the sheet; smallest plume first.

    Args:
        folder: of pictures and masks.
        out: PNG or JPEG file.
        count: pictures at most.
        seed: of the choice.

    Returns:
        Number of pictures on it.

    Raises:
        InputError: when a picture or mask cannot be used.
        ConfigError: for another kind of file.
    """
    cv2 = need("cv2", extra="train")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{out}: a contact sheet's name ends in .png or .jpg")
    shares = [_gas(folder, stem) for stem in tqdm(folder.names, "plume sizes", delay=2)]
    chosen = spread_over_sizes(shares, count, seed)
    cells = [_cell(folder, folder.names[at], shares[at]) for at in chosen]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % min(_ACROSS, len(cells)))
    across = min(_ACROSS, len(cells))
    rows = [np.hstack(cells[at : at + across]) for at in range(0, len(cells), across)]
    done, data = cv2.imencode(out.suffix.lower(), np.vstack(rows))
    if not done:
        raise GasedgeError(f"{out}: cannot be encoded")
    write_bytes(out, data.tobytes())
    return len(chosen)


def _gas(folder: DataFolder, stem: str) -> float:
    if folder.meaning.empty:
        return 0.0
    mask = folder.meaning.read(folder.masks[stem])
    counted = mask != IGNORE
    return float((mask == GAS_SMOKE).sum() / max(1, counted.sum()))


def _cell(folder: DataFolder, stem: str, share: float) -> NDArray[np.uint8]:
    """One picture with outlines and caption, on white."""
    cv2 = need("cv2", extra="train")
    picture, mask = folder.read(stem)
    height, width = mask.shape
    scale = min(_CELL[0] / width, _CELL[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = cv2.resize(picture, size, interpolation=way)
    ignored = cv2.resize(np.where(mask == IGNORE, 255, 0).astype(np.uint8), size) > 127
    drawn[ignored] //= 2
    for each in CLASSES[1:]:
        here = (mask == each.index).astype(np.uint8)
        lines, _ = cv2.findContours(here, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        placed = [((line + 0.5) * scale - 0.5).round().astype(np.int32) for line in lines]
        cv2.polylines(drawn, placed, True, each.colour_rgb[::-1], 1, cv2.LINE_AA)  # noqa: FBT003
    cell = np.full((_CELL[1] + _CAPTION + _GAP, _CELL[0] + _GAP, 3), 255, np.uint8)
    top, left = (_CELL[1] - size[1]) // 2, (_CELL[0] - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = drawn
    name = stem if len(stem) <= 26 else f"...{stem[-23:]}"
    words = f"{name}  {share:.2%}"
    at = (2, _CELL[1] + _CAPTION - 5)
    cv2.putText(cell, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (40, 40, 40), 1, cv2.LINE_AA)
    return cell
