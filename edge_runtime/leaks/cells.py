"""The gas of one mask, counted on a coarse grid of square cells: exact, and cheap enough to track.

A cell is 4 x 4 or 8 x 8 pixels of the network's input. Its pixels are counted as the bytes of one
machine word, so the sums are whole numbers and the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import GAS_SMOKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.geometry import FrameFit, InputGeometry

__all__ = ["CellGrid", "GasCells", "cell_side", "cells_shape", "most_cells"]

_SMALL = 384  # a valid field that is larger than this has cells of 8 pixels
_PIXELS, _SCORE_BITS = 0xFFFF, 16  # of a word of cells that a backend counted


@dataclass(frozen=True, slots=True)
class GasCells:
    """Gas of one mask."""

    count: NDArray[np.int32]  # (rows, columns) gas pixels
    score: NDArray[np.int32]  # (rows, columns) sum of their scores, 0..255 each


def cell_side(fit: FrameFit) -> int:
    """Side of a cell in pixels of the network's input."""
    return 4 if max(fit.width, fit.height) <= _SMALL else 8


def cells_shape(fit: FrameFit) -> tuple[int, int]:
    """Rows and columns of cells."""
    side = cell_side(fit)
    return -(-fit.height // side), -(-fit.width // side)


def most_cells(geometry: InputGeometry) -> int:
    """Most cells that a picture of any size has in this input."""
    rows, columns = cells_shape(geometry.of(geometry.width, geometry.height))
    # small ones in a large input: the picture is narrow and touches the input's nearer edges
    shorter = min(geometry.width, geometry.height, _SMALL)
    return max(rows * columns, _SMALL // 4 * -(-shorter // 4))


class CellGrid:
    """The cells of one geometry.

    Args:
        fit: where the picture lies in the network's input.
        counts: (height, width) bool of the valid field, False where pixels never count; None when
            all do.
    """

    def __init__(self, fit: FrameFit, counts: NDArray[np.bool_] | None = None) -> None:
        self.fit = fit
        self.side = cell_side(fit)
        self.rows, self.columns = cells_shape(fit)
        self._counts = None if counts is None or counts.all() else counts.view(np.uint8)
        self.pixels = fit.width * fit.height if counts is None else int(np.count_nonzero(counts))
        size = self.rows * self.side, self.columns * self.side
        self._gas, self._score = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        self._word: type[np.unsignedinteger] = np.uint32 if self.side == 4 else np.uint64

    def take(
        self,
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        cells: NDArray[np.uint32] | None = None,
    ) -> GasCells | None:
        """Count the gas of an (H, W) mask of class indices; None when there is none at all.

        Args:
            mask: class indices.
            score: gas-smoke probability, 0..255.
            cells: what the backend counted already, as `Segmentation.cells`; it knows of no pixels
                that never count, so where there are any all is counted here.
        """
        if cells is not None and self._counts is None:
            return self._taken(mask, cells)
        inside = slice(0, self.fit.height), slice(0, self.fit.width)
        gas = self._gas[inside]
        np.equal(mask[self.fit.valid], GAS_SMOKE, out=gas.view(np.bool_))
        if self._counts is not None:
            gas &= self._counts
        held = np.flatnonzero(self._gas.view(self._word).reshape(self.rows, -1).any(1))
        if not len(held):
            return None
        band = slice(int(held[0]), int(held[-1]) + 1)  # rows of cells: most masks leave most empty
        lines = slice(band.start * self.side, min(band.stop * self.side, self.fit.height))
        np.multiply(
            score[self.fit.valid][lines], gas[lines], out=self._score[lines, : self.fit.width]
        )
        found = GasCells(
            np.zeros((self.rows, self.columns), np.int32),
            np.zeros((self.rows, self.columns), np.int32),
        )
        found.count[band] = self._pixels_a_cell(self._words(self._gas)[band])
        found.score[band] = self._score_a_cell(self._words(self._score)[band])
        return found

    def _taken(self, mask: NDArray[np.uint8], cells: NDArray[np.uint32]) -> GasCells | None:
        found = GasCells(
            np.asarray(cells & _PIXELS, np.int32), np.asarray(cells >> _SCORE_BITS, np.int32)
        )
        if not found.count.any():
            self._gas.fill(0)
            return None
        gas = self._gas[: self.fit.height, : self.fit.width]
        np.equal(mask[self.fit.valid], GAS_SMOKE, out=gas.view(np.bool_))
        return found

    def kept_pixels(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Gas pixels (height, width) of the last mask that lie in cells of (rows, columns)."""
        ones = np.iinfo(self._word).max
        within = np.where(kept, self._word(ones), self._word(0))
        pixels: NDArray[np.bool_] = (self._words(self._gas) & within[:, None]).view(np.bool_)
        return pixels.reshape(self._gas.shape)[: self.fit.height, : self.fit.width]

    def box(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[int, int, int, int]:
        """Smallest box (left, top, right, bottom), in pixels, of the last mask's gas in some cells.

        Each of them must hold gas.
        """
        words, side = self._words(self._gas), self.side
        ends = []
        for each, last in ((columns, False), (rows, False), (columns, True), (rows, True)):
            edge = int(each.max()) if last else int(each.min())
            at = np.flatnonzero(each == edge)
            strip = words[rows[at], :, columns[at]]  # (cells, side) words
            if each is columns:
                row = np.bitwise_or.reduce(strip, axis=None)
                held = np.flatnonzero(np.array([row]).view(np.uint8))
            else:
                held = np.flatnonzero(strip.any(0))
            ends.append(edge * side + int(held[-1] + 1 if last else held[0]))
        return ends[0], ends[1], ends[2], ends[3]

    def _words(self, plane: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
        return plane.view(self._word).reshape(self.rows, self.side, self.columns)

    def _pixels_a_cell(self, words: NDArray[np.unsignedinteger]) -> NDArray[np.int32]:
        a_byte = words.sum(1, dtype=self._word)  # at most 8 each
        return self._sum_of_lanes(a_byte, 8)

    def _score_a_cell(self, words: NDArray[np.unsignedinteger]) -> NDArray[np.int32]:
        low = self._word(0x00FF00FF00FF00FF & int(np.iinfo(self._word).max))
        pairs = (words & low) + ((words >> self._word(8)) & low)
        return self._sum_of_lanes(pairs.sum(1, dtype=self._word), 16)

    def _sum_of_lanes(self, words: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.int32]:
        """Add up the `bits` wide parts of each word: the product's highest part is their sum."""
        width = 8 * self.side
        ones = sum(1 << at for at in range(0, width, bits))
        total = (words * self._word(ones)) >> self._word(width - bits)
        return np.asarray(total, np.int32)
