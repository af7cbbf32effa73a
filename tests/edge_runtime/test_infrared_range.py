"""From 16-bit counts to grey: what is asked for is what comes, and nothing flickers or hides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.sources.infrared_range import (
    AutoRange,
    CountRange,
    RangeMap,
    grey_from_counts,
    parse_range,
)
from tests.edge_runtime.test_sources import read_all


def scene(seed: int = 0, *, low: int = 7000, high: int = 8000, noise: float = 3.0):
    """A ramp of counts with noise, as an infrared core gives them."""
    ramp = np.linspace(low, high, 64 * 48).reshape(48, 64)
    return (ramp + np.random.default_rng(seed).normal(0, noise, ramp.shape)).astype(np.uint16)


def test_fixed_counts_are_mapped_linearly_and_clipped():
    counts = np.array([[0, 7000, 7500, 8000, 65535]], np.uint16)
    grey = grey_from_counts(counts, CountRange(7000, 8000))
    assert grey.tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("text", ["", "7000", "9000-7000", "1-70000", "a-b", "-5-7", "automatic"])
def test_a_range_that_is_none_is_refused(text: str):
    with pytest.raises(ValueError, match="range is auto or LOW-HIGH"):
        parse_range(text)


def test_an_automatic_range_does_not_flicker_with_noise():
    auto = AutoRange()
    still = [auto.update(scene(n), n / 10) for n in range(200)]
    assert max(s.low for s in still) - min(s.low for s in still) < 1.5
    assert max(s.high for s in still) - min(s.high for s in still) < 1.5


def test_a_plume_that_comes_and_goes_moves_the_grey_of_the_rest_by_little():
    auto, background = AutoRange(), []
    for index in range(600):
        counts = scene(index)
        if 100 <= index < 300:  # 20 s of a cold plume over a quarter of the picture
            counts[:24, :32] -= 600
        background.append(int(grey_from_counts(counts, auto.update(counts, index / 10))[40, 40]))
    steps = np.abs(np.diff(np.convolve(background, np.ones(10) / 10, "valid")))
    assert steps.max() < 2  # levels a frame: nothing jumps
    plume = scene(1)
    plume[:24, :32] -= 600
    grey = grey_from_counts(plume, auto.update(plume, 60.0))
    assert (grey[:24, :32] == 0).mean() < 0.05  # and it is not clipped away when it comes again


def test_a_flat_scene_is_not_blown_up_to_a_picture_of_noise():
    flat = scene(low=7000, high=7000)
    span = AutoRange().update(flat, 0.0)
    assert span.high - span.low == 256
    assert grey_from_counts(flat, span).std() < 4


def test_a_shutter_that_closes_for_a_moment_leaves_the_range_alone():
    auto = AutoRange()
    before = auto.update(scene(), 0.0)
    for index in range(5):
        after = auto.update(scene(low=7400, high=7400), 0.1 * (index + 1))
    assert after.high - after.low > 0.95 * (before.high - before.low)


def test_eight_bits_and_sources_without_a_range_are_left_as_they_are():
    assert RangeMap(None).grey(scene(), 0.0).dtype == np.uint16
    grey = np.zeros((4, 4), np.uint8)
    assert RangeMap("auto").grey(grey, 0.0) is grey


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_folder_of_counts_goes_through_the_range(tmp_path, suffix: str):
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}{suffix}"), scene(index))
    pictures, _ = read_all(f"folder:{tmp_path}?every&range=7000-8000")
    expected = grey_from_counts(scene(2), CountRange(7000, 8000))
    assert (pictures[2][1] == expected[..., None]).all()
    (_, adapted), *_ = read_all(f"folder:{tmp_path}?every&range=auto")[0]
    assert 10 < adapted.min() < 60
    assert 200 < adapted.max() < 246


def test_a_folder_of_eight_bits_with_a_range_says_so(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(Exception, match="a range of counts is for 16 bits"):
        read_all(f"folder:{tmp_path}?every&range=auto")
