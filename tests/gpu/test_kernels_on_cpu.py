"""The kernels' own source, compiled as C++, against OpenCV and numpy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from contract.geometry import Fit, InputGeometry
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.pictures import fit_picture
from edge_runtime.leaks.cells import CellGrid, cells_shape
from edge_runtime.pixels import Layout, NativePicture, bgr_of, layout_of, pixels_of

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) here")

BLOCK = (32, 8)


def fitted_by_kernel(picture, geometry, *, pitch_padding=0):
    from tests.gpu.cpu_kernels import launch

    height, width = picture.shape[:2]
    place = geometry.of(width, height)
    lines = pixels_of(picture)
    lines = lines.reshape(len(lines), -1)
    pitch = lines.shape[1] + pitch_padding
    rows = np.full((len(lines), pitch), 0xEE, np.uint8)
    rows[:, : lines.shape[1]] = lines
    laid = np.full((geometry.height, geometry.width, 3), 0xC7, np.uint8)
    grid = (-(-geometry.width // BLOCK[0]), -(-geometry.height // BLOCK[1]))
    numbers = (width, height, pitch, int(layout_of(picture)), geometry.width, geometry.height)
    numbers += (place.left, place.top, place.width, place.height)
    launch("fit_picture", grid, BLOCK, rows, laid, *numbers)
    return laid


def noise(height, width, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(
    "size",
    [(64, 96), (128, 192), (480, 640), (97, 131), (31, 45), (7, 250), (211, 5), (64, 400),
     (400, 96), (65, 95), (63, 97), (1, 1), (2, 3)],
    ids=lambda s: f"{s[1]}x{s[0]}",
)  # fmt: skip
def test_fit_kernel_gives_the_picture_that_opencv_gives_within_one_grey_level(size, fit):
    geometry = InputGeometry(width=96, height=64, fit=fit)
    picture = noise(*size)
    expected = fit_picture(picture, geometry).astype(int)
    found = fitted_by_kernel(picture, geometry).astype(int)
    assert np.abs(found - expected).max() <= 1
    padding = np.ones(found.shape[:2], bool)
    padding[geometry.of(size[1], size[0]).valid] = False
    assert (found[padding] == 0).all()


def test_fit_kernel_reads_no_byte_between_the_rows():
    geometry = InputGeometry(width=96, height=64)
    picture = noise(50, 71)
    tight = fitted_by_kernel(picture, geometry)
    assert np.array_equal(fitted_by_kernel(picture, geometry, pitch_padding=29), tight)


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_fit_kernel_keeps_an_even_picture_even(value):
    geometry = InputGeometry(width=96, height=64, fit=Fit.STRETCH)
    for size in ((57, 301), (31, 33), (333, 40)):
        laid = fitted_by_kernel(np.full((*size, 3), value, np.uint8), geometry)
        assert (laid == value).all()


def test_fit_kernel_leaves_a_picture_of_the_input_size_as_it_is():
    picture = noise(64, 96)
    assert np.array_equal(fitted_by_kernel(picture, InputGeometry(width=96, height=64)), picture)


def native(layout, height, width, seed=3):
    rows = height * 3 // 2 if layout is Layout.NV12 else height
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, width), dtype=np.uint8)
    return NativePicture(pixels, layout)


@pytest.mark.parametrize("layout", [Layout.GREY, Layout.NV12])
@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(
    "size", [(64, 96), (480, 640), (98, 130), (30, 44), (6, 250), (64, 400)],
    ids=lambda s: f"{s[1]}x{s[0]}",
)  # fmt: skip
def test_grey_and_nv12_are_fitted_as_the_bgr_picture_that_opencv_makes_of_them(size, fit, layout):
    geometry = InputGeometry(width=96, height=64, fit=fit)
    picture = native(layout, *size)
    bgr = bgr_of(picture)
    found = fitted_by_kernel(picture, geometry)
    assert np.array_equal(found, fitted_by_kernel(bgr, geometry))  # bit for bit
    assert np.array_equal(found, fitted_by_kernel(picture, geometry, pitch_padding=6))
    expected = fit_picture(bgr, geometry).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_every_brightness_and_colour_of_nv12_becomes_opencvs():
    light = np.repeat(np.arange(256, dtype=np.uint8), 2)[None].repeat(2, 0)
    for u in range(0, 256, 15):
        for v in (0, 1, 60, 127, 128, 129, 200, 255):
            pairs = np.array([[u, v] * 256], np.uint8)
            picture = NativePicture(np.concatenate([light, pairs]), Layout.NV12)
            geometry = InputGeometry(width=512, height=32)
            found = fitted_by_kernel(picture, geometry)[15:17]
            assert np.array_equal(found, bgr_of(picture)), (u, v)


def cells_by_kernel(mask, score, place):
    from tests.gpu.cpu_kernels import launch

    grid = CellGrid(place)
    rows, columns = cells_shape(place)
    cells = np.full((rows, columns), 0xDEADBEEF, np.uint32)
    numbers = (mask.shape[1], place.left, place.top, place.width, place.height, grid.side)
    launch("gas_cells", (-(-columns // 32), -(-rows // 4)), (32, 4), mask, score, cells, *numbers)
    return grid, cells


@pytest.mark.parametrize(
    ("width", "height", "picture"),
    [(96, 64, (96, 64)), (96, 64, (50, 71)), (64, 64, (31, 10)), (640, 480, (1280, 719)),
     (640, 480, (100, 480)), (416, 352, (90, 600))],
)  # fmt: skip
def test_cells_kernel_counts_the_gas_that_the_cpu_counts_bit_for_bit(width, height, picture):
    random = np.random.default_rng(7)
    place = InputGeometry(width=width, height=height).of(*picture)
    for share in (0.0, 0.02, 1.0):
        mask = random.integers(0, 3, (height, width), dtype=np.uint8)
        mask[random.random(mask.shape) > share] = BACKGROUND
        mask[0, 0] = GAS_SMOKE  # in the padding, unless there is none
        score = random.integers(0, 256, mask.shape, dtype=np.uint8)
        if share == 1.0:
            mask[:], score[:] = GAS_SMOKE, 255
        grid, cells = cells_by_kernel(mask, score, place)
        counted = CellGrid(place).take(mask, score)
        taken = grid.take(mask, score, cells)
        if counted is None:
            assert taken is None
            assert not cells.any()
            continue
        assert np.array_equal(taken.count, counted.count)
        assert np.array_equal(taken.score, counted.score)


def summaries_by_kernel(mask, score, valid, *, ticket=77, blocks=3):
    from tests.gpu.cpu_kernels import launch

    frames, height, width = mask.shape
    summary = np.zeros((frames, 6), np.uint32)
    tickets = np.array([ticket], np.uint32)
    launch(
        "mask_summary",
        (blocks, frames),
        (128, 1),
        mask,
        score,
        tickets,
        summary,
        width,
        height,
        *valid,
    )
    return summary


def test_summary_kernel_counts_what_numpy_counts_inside_the_valid_field():
    random = np.random.default_rng(5)
    mask = random.integers(0, 3, (2, 37, 53), dtype=np.uint8)
    score = random.integers(0, 256, mask.shape, dtype=np.uint8)
    left, top, width, height = 4, 9, 41, 20
    mask[1, 0, 0] = 200  # outside the valid field, and still foreign
    mask[1, top, left] = 3
    found = summaries_by_kernel(mask, score, (left, top, width, height))
    for each, frame, scores in zip(found, mask, score, strict=True):
        field = frame[top : top + height, left : left + width]
        gas = field == GAS_SMOKE
        expected = [(field == c).sum() for c in (BACKGROUND, GAS_SMOKE, MACHINE)]
        expected += [(frame > MACHINE).sum()]
        expected += [scores[top : top + height, left : left + width][gas].astype(int).sum(), 77]
        assert each.tolist() == [int(e) for e in expected]


def test_summary_of_an_all_gas_frame_does_not_overflow_at_the_largest_input():
    mask = np.full((1, 4096, 4096), GAS_SMOKE, np.uint8)
    found = summaries_by_kernel(mask, np.full_like(mask, 255), (0, 0, 4096, 4096), blocks=64)
    assert found[0, 1] == 4096 * 4096
    assert found[0, 4] == 255 * 4096 * 4096
