"""Grey levels of pictures, and how far two sets of them are apart."""

from __future__ import annotations

import numpy as np
import pytest

from contract.grey_histogram import (
    GREY_BINS,
    grey_reference,
    grey_shares,
    jensen_shannon_distance,
)

pytest.importorskip("cv2", reason="pip install 'gasedge[cpu]'")


def picture(seed: int, level: float = 110.0):
    noise = np.random.default_rng(seed).normal(level, 25, (48, 64, 1)).clip(0, 255)
    return np.repeat(noise.astype(np.uint8), 3, axis=2)


def test_shares_sum_to_one_and_stand_where_the_grey_is():
    shares = grey_shares(np.full((8, 8, 3), 128, np.uint8))
    assert shares.shape == (GREY_BINS,)
    assert shares[128 // 4] == 1.0
    assert shares.sum() == 1.0


def test_distance_is_zero_of_equal_one_of_disjoint_and_alike_both_ways():
    one, other = grey_shares(picture(1)), grey_shares(picture(2, 160.0))
    assert jensen_shannon_distance(one, one) == 0.0
    assert jensen_shannon_distance(one, other) == jensen_shannon_distance(other, one) > 0.3
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert jensen_shannon_distance(grey_shares(black), grey_shares(white)) == 1.0


def entropy_bits(shares) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log2(held)).sum())


def test_distance_is_the_root_of_what_mixing_adds_to_the_entropy():
    one, other = grey_shares(picture(1)), grey_shares(picture(2, 150.0))
    added = entropy_bits((one + other) / 2) - (entropy_bits(one) + entropy_bits(other)) / 2
    assert jensen_shannon_distance(one, other) == pytest.approx(np.sqrt(added))


def test_pictures_of_a_set_stay_within_its_spread_and_shifted_ones_do_not():
    reference = grey_reference([grey_shares(picture(seed)) for seed in range(20)])
    alike = jensen_shannon_distance(grey_shares(picture(99)), reference.shares)
    shifted = jensen_shannon_distance(grey_shares(picture(99, 140.0)), reference.shares)
    assert alike < 1.3 * reference.spread
    assert shifted > 3 * reference.spread
