"""The kernels' own source, compiled as C++, against OpenCV and numpy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from contract.geometry import Fit, InputGeometry
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.pictures import fit_picture

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) here")

BLOCK = (32, 8)


def fitted_by_kernel(picture, geometry, *, pitch_padding=0):
    from tests.gpu.cpu_kernels import launch

    height, width = picture.shape[:2]
    place = geometry.of(width, height)
    pitch = 3 * width + pitch_padding
    rows = np.full((height, pitch), 0xEE, np.uint8)
    rows[:, : 3 * width] = picture.reshape(height, 3 * width)
    laid = np.full((geometry.height, geometry.width, 3), 0xC7, np.uint8)
    grid = (-(-geometry.width // BLOCK[0]), -(-geometry.height // BLOCK[1]))
    numbers = (width, height, pitch, geometry.width, geometry.height)
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
