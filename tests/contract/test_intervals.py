"""Intervals by groups: what is resampled, and that the same seed gives the same interval."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from contract.errors import InputError
from contract.intervals import Interval, grouped_interval, sums_by_group
from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.scores import ScoreBoard, gas_iou_of, mean_iou_of


def share(sums):
    return sums[..., 0] / sums[..., 1]


def board(pairs):
    made = ScoreBoard({BACKGROUND, GAS_SMOKE})
    for name, truth, result in pairs:
        made.add(np.array([truth], np.uint8), np.array([result], np.uint8), name=name)
    return made


def test_interval_is_that_of_all_possible_draws_of_three_groups():
    sums = np.array([[1, 10], [5, 10], [9, 10]])
    every = [sums[list(draw)].sum(0) for draw in itertools.product(range(3), repeat=3)]
    low, high = np.quantile([a / b for a, b in every], [0.025, 0.975], method="inverted_cdf")
    found = grouped_interval(sums, share, resamples=40000)
    assert found.value == pytest.approx(0.5)
    # 1 in 27 draws is three times the same group, more than the 2.5 % of a tail
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.n_groups == 3


def test_a_large_group_weighs_by_its_pixels_and_not_by_its_pictures():
    sums = np.array([[0, 1000], [10, 10], [10, 10], [10, 10]])
    found = grouped_interval(sums, share)
    assert found.value == pytest.approx(30 / 1030)
    assert found.high == 1.0  # the draws that leave the large group out: about a third
    assert found.low < 0.02


def test_pictures_of_one_group_do_not_narrow_the_interval():
    random = np.random.default_rng(1)
    few = random.integers(1, 100, (12, 2))
    few[:, 1] += 100
    assert grouped_interval(few * 50, share) == grouped_interval(few, share)


def test_interval_of_many_groups_agrees_with_the_textbook_formula():
    random = np.random.default_rng(3)
    values = random.normal(50, 10, 400)
    found = grouped_interval(np.stack([values, np.ones(400)], 1), share, resamples=8000)
    error = values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.06)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.06)


def test_paired_difference_is_narrower_than_either():
    random = np.random.default_rng(5)
    hard = random.integers(10, 990, 30)
    ours = np.stack([hard + 5, np.full(30, 1000)], 1)
    theirs = np.stack([hard, np.full(30, 1000)], 1)
    pair = np.stack([ours, theirs], 1)
    found = grouped_interval(pair, lambda s: share(s[:, 0]) - share(s[:, 1]))
    assert (found.low, found.value, found.high) == pytest.approx((0.005,) * 3)
    alone = grouped_interval(ours, share)
    assert alone.high - alone.low > 0.05


def test_same_seed_same_interval_and_another_seed_another():
    sums = np.random.default_rng(7).integers(1, 50, (9, 2))
    assert grouped_interval(sums, share, seed=4) == grouped_interval(sums, share, seed=4)
    assert grouped_interval(sums, share, seed=4) != grouped_interval(sums, share, seed=5)


def test_one_group_or_no_gas_gives_no_interval_and_no_group_is_an_error():
    assert grouped_interval(np.array([[1, 2]]), share) is None
    clear = np.zeros((4, 3, 3), np.int64)
    clear[:, 0, 0] = 5
    assert grouped_interval(clear, gas_iou_of) is None
    assert isinstance(grouped_interval(clear, mean_iou_of), Interval)
    with pytest.raises(InputError, match="no group"):
        grouped_interval(np.zeros((0, 3, 3), np.int64), gas_iou_of)


def test_draws_without_gas_do_not_make_the_interval_undefined():
    sums = np.zeros((3, 3, 3), np.int64)
    sums[:, 0, 0] = 10
    sums[0, 1, 1], sums[0, 1, 0] = 3, 3
    found = grouped_interval(sums, gas_iou_of)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_sums_of_images_are_pooled_by_their_group():
    made = board(
        [("a", [0, 1, 1], [0, 1, 0]), ("b", [1, 1, 0], [1, 1, 1]), ("c", [0, 0, 1], [0, 0, 0])]
    )
    sums = sums_by_group(made.images, {"a": "s2", "b": "s1", "c": "s2"})
    assert sums.shape == (2, 3, 3)
    assert gas_iou_of(sums).tolist() == pytest.approx([2 / 3, 1 / 3])
    whole = sums.sum(0)
    assert gas_iou_of(whole) == pytest.approx(made.scores().classes["gas-smoke"].iou)
    assert mean_iou_of(whole) == pytest.approx(made.scores().mean_iou)
