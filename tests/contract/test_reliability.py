"""Calibration of the score, against sums over single pixels."""

from __future__ import annotations

import numpy as np
import pytest

from contract.label_map import GAS_SMOKE, IGNORE
from contract.reliability import ReliabilityBoard


def scores_of(*pairs):
    board = ReliabilityBoard()
    for truth, score in pairs:
        board.add(np.asarray(truth, np.uint8), np.asarray(score, np.uint8))
    return board.scores()


def test_scores_agree_with_sums_over_single_pixels():
    random = np.random.default_rng(2)
    pairs = [
        (random.choice([0, 1, 2, IGNORE], (30, 40)), random.integers(0, 256, (30, 40)))
        for _ in range(3)
    ]
    truth = np.concatenate([t.ravel() for t, _ in pairs])
    score = np.concatenate([s.ravel() for _, s in pairs]) / 255
    gas, score = (truth == GAS_SMOKE)[truth != IGNORE], score[truth != IGNORE]
    found = scores_of(*pairs)
    assert found.pixels == gas.size
    assert found.gas_share == pytest.approx(gas.mean())
    assert found.brier == pytest.approx(np.mean((score - gas) ** 2))
    assert found.brier_of_gas_share == pytest.approx(np.mean((gas.mean() - gas) ** 2))
    error = 0.0
    for number, one in enumerate(found.bins):
        last = number == 9
        here = (score >= number / 10) & ((score < (number + 1) / 10) | last)
        assert one.pixels == here.sum()
        assert one.mean_score == pytest.approx(score[here].mean())
        assert one.gas_share == pytest.approx(gas[here].mean())
        error += here.mean() * abs(score[here].mean() - gas[here].mean())
    assert found.expected_calibration_error == pytest.approx(error)


def test_a_score_that_means_what_it_says_has_no_calibration_error():
    score = np.repeat(np.array([51, 153, 255]), 100)  # 0.2, 0.6, 1
    truth = np.concatenate([np.arange(100) < 20, np.arange(100) < 60, np.ones(100)])
    found = scores_of((truth[None], score[None]))
    assert found.expected_calibration_error == pytest.approx(0)
    assert found.brier == pytest.approx((0.2 * 0.8 + 0.6 * 0.4) / 3)


def test_a_score_that_is_sure_and_wrong_is_as_bad_as_can_be():
    found = scores_of(([[0, 0, 1, 1]], [[255, 255, 0, 0]]))
    assert (found.expected_calibration_error, found.brier) == (1, 1)


def test_a_tenth_without_pixels_has_no_share_instead_of_nought():
    found = scores_of(([[0, 1]], [[0, 255]]))
    assert [each.pixels for each in found.bins] == [1, *[0] * 8, 1]
    assert found.bins[4].gas_share is None


def test_nothing_counted_gives_no_number():
    found = scores_of(([[IGNORE]], [[200]]))
    assert (found.pixels, found.brier, found.expected_calibration_error) == (0, None, None)
