"""Gas counted on cells is the same as gas counted pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from contract.geometry import FrameFit, InputGeometry
from contract.label_map import GAS_SMOKE, MACHINE
from edge_runtime.leaks.cells import CellGrid


def random_mask(height: int, width: int, seed: int = 0):
    random = np.random.default_rng(seed)
    mask = random.choice([0, MACHINE, GAS_SMOKE], (height, width)).astype(np.uint8)
    return mask, random.integers(0, 256, (height, width)).astype(np.uint8)


@pytest.mark.parametrize(
    ("network", "picture"),
    [
        ((64, 64), (64, 64)),
        ((256, 192), (88, 106)),
        ((512, 416), (1280, 720)),
        ((96, 64), (50, 99)),
        ((512, 320), (100, 320)),  # 25 columns: an odd number of words
        ((64, 64), (10, 31)),
    ],
)
def test_every_pixel_is_counted_once_with_its_score(network, picture):
    fit = InputGeometry(width=network[0], height=network[1]).of(*picture)
    mask, score = random_mask(network[1], network[0])
    grid = CellGrid(fit)
    found = grid.take(mask, score)
    gas = mask[fit.valid] == GAS_SMOKE
    side = grid.side
    for row in range(grid.rows):
        for column in range(grid.columns):
            cell = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            assert found.count[row, column] == gas[cell].sum()
            assert found.score[row, column] == score[fit.valid][cell][gas[cell]].astype(int).sum()
    assert (grid.kept_pixels(np.ones((grid.rows, grid.columns), bool)) == gas).all()


def test_a_full_cell_of_the_highest_score_does_not_overflow():
    for size in (64, 512):
        mask = np.full((size, size), GAS_SMOKE, np.uint8)
        grid = CellGrid(FrameFit(size, size, 0, 0, size, size))
        found = grid.take(mask, np.full_like(mask, 255))
        assert (found.count == grid.side**2).all()
        assert (found.score == 255 * grid.side**2).all()


def test_gas_in_the_padding_and_in_what_is_ignored_does_not_count():
    fit = InputGeometry(width=64, height=64).of(128, 64)  # lies in rows 16..48
    counts = np.ones((32, 64), bool)
    counts[:, :8] = False
    grid = CellGrid(fit, counts)
    mask = np.zeros((64, 64), np.uint8)
    mask[:16] = GAS_SMOKE
    mask[16:48, :8] = GAS_SMOKE
    assert grid.take(mask, mask) is None
    assert grid.pixels == 32 * 56
    mask[30, 8] = GAS_SMOKE
    assert grid.take(mask, mask).count.sum() == 1


@pytest.mark.parametrize("side", [64, 512])
def test_the_box_of_some_cells_is_exact_to_the_pixel(side):
    grid = CellGrid(FrameFit(side, side, 0, 0, side, side))
    random = np.random.default_rng(3)
    for _ in range(50):
        mask = np.zeros((side, side), np.uint8)
        y, x = random.integers(0, side, (2, 5))
        mask[y, x] = GAS_SMOKE
        found = grid.take(mask, mask)
        rows, columns = np.nonzero(found.count)
        assert grid.box(rows, columns) == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_gas_counted_by_the_backend_is_taken_and_its_pixels_are_the_masks():
    fit = InputGeometry(width=96, height=64).of(50, 99)
    mask, score = random_mask(64, 96)
    counted = CellGrid(fit).take(mask, score)
    words = counted.count.astype(np.uint32) | counted.score.astype(np.uint32) << 16
    grid = CellGrid(fit)
    taken = grid.take(mask, score, words)
    assert (taken.count == counted.count).all()
    assert (taken.score == counted.score).all()
    every = np.ones((grid.rows, grid.columns), bool)
    assert (grid.kept_pixels(every) == (mask[fit.valid] == GAS_SMOKE)).all()
    assert grid.take(np.zeros_like(mask), score, np.zeros_like(words)) is None
    assert not grid.kept_pixels(every).any()  # nothing of the mask before is left


def test_where_pixels_never_count_the_backends_cells_are_not_believed():
    fit = InputGeometry(width=64, height=64).of(64, 64)
    counts = np.ones((64, 64), bool)
    counts[:, :32] = False
    mask, score = np.full((64, 64), GAS_SMOKE, np.uint8), np.full((64, 64), 9, np.uint8)
    words = np.full((16, 16), 16 | (16 * 9) << 16, np.uint32)
    found = CellGrid(fit, counts).take(mask, score, words)
    assert found.count.sum() == 32 * 64
