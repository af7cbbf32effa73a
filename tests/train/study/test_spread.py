"""Means of few seeds are told with the doubt that few seeds leave."""

from __future__ import annotations

import numpy as np
import pytest

from contract.scores import mean_f1_of
from train.picture_counts import PictureCounts
from train.study.measures import measures_of
from train.study.spread import MOST_SEEDS, Spread


def test_the_interval_of_three_seeds_is_that_of_student():
    spread = Spread.of([0.70, 0.72, 0.77])
    assert spread.mean == pytest.approx(0.73)
    assert spread.deviation == pytest.approx(0.036056, abs=1e-6)
    low, high = spread.interval
    # t of two degrees of freedom is 4.3027
    assert (low, high) == pytest.approx((0.73 - 0.089567, 0.73 + 0.089567), abs=1e-5)
    assert spread.text() == "0.7300 ± 0.0361"


def test_one_seed_has_no_spread():
    spread = Spread.of([0.5])
    assert (spread.deviation, spread.interval, spread.text()) == (None, None, "0.5000")


def test_no_score_is_a_dash_and_no_number():
    spread = Spread.of([float("nan"), 0.5])
    assert (spread.text(), spread.interval) == ("-", None)
    assert set(spread.as_dict().values()) == {None}


def test_intervals_reach_as_far_as_the_command_allows():
    assert MOST_SEEDS == 20
    assert Spread.of([float(n) for n in range(MOST_SEEDS)]).interval is not None


def test_pictures_are_averaged_and_pixels_pooled():
    def picture(counts):
        return PictureCounts("d", "test", "p", "g", np.array(counts))

    perfect = picture([[90, 0, 0], [0, 10, 0], [0, 0, 0]])
    half = picture([[900, 50, 0], [0, 50, 0], [0, 0, 0]])
    found = measures_of([perfect, half])
    iou = (900 / 950 + 50 / 100) / 2
    f1 = (2 * 900 / 1850 + 2 * 50 / 150) / 2
    assert found["image mean IoU"] == pytest.approx((1 + iou) / 2)
    assert found["image mean F1"] == pytest.approx((1 + f1) / 2)
    assert found["gas-smoke IoU"] == pytest.approx(60 / 110)
    assert np.isnan(mean_f1_of(np.zeros((3, 3), np.int64)))
