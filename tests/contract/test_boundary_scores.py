"""Boundary distance and F1, against cases by hand and a search over all pairs of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("cv2")

from contract.boundary_scores import TOLERANCE, BoundaryBoard, boundary_of
from contract.label_map import GAS_SMOKE, IGNORE


def square(left, top=10, side=10, shape=(40, 60)):
    mask = np.zeros(shape, np.uint8)
    mask[top : top + side, left : left + side] = GAS_SMOKE
    return mask


def scores_of(*pairs):
    board = BoundaryBoard()
    for truth, result in pairs:
        board.add(truth, result)
    return board.scores()


def by_search(truth, result, tolerance):
    """All pairs of boundary pixels, with the boundary found pixel by pixel."""

    def edge(mask):
        found = []
        for (row, column), value in np.ndenumerate(mask):
            near = [(row + r, column + c) for r, c in ((0, 1), (1, 0), (0, -1), (-1, 0))]
            if value == GAS_SMOKE and truth[row, column] != IGNORE:
                for r, c in near:
                    inside = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
                    if inside and truth[r, c] != IGNORE and mask[r, c] != GAS_SMOKE:
                        found.append((row, column))
                        break
        return found

    a, b = edge(truth), edge(result)
    to_b = [min(math.dist(p, q) for q in b) for p in a]
    to_a = [min(math.dist(p, q) for q in a) for p in b]
    recall = sum(d <= tolerance for d in to_b) / len(to_b)
    precision = sum(d <= tolerance for d in to_a) / len(to_a)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return (sum(to_a) + sum(to_b)) / (len(a) + len(b)), f1


def test_the_same_mask_has_no_distance_and_a_shifted_one_has_that_of_its_shift():
    same = scores_of((square(10), square(10)))
    assert (same.mean_distance_px, same.f1) == (0, 1)
    # two vertical lines one pixel wide, four pixels apart
    truth, result = np.zeros((9, 30), np.uint8), np.zeros((9, 30), np.uint8)
    truth[:, 10] = result[:, 14] = GAS_SMOKE
    found = scores_of((truth, result))
    assert found.mean_distance_px == pytest.approx(4)
    assert found.f1 == 0
    assert found.tolerance_px == pytest.approx(TOLERANCE * math.hypot(9, 30))


@pytest.mark.parametrize("seed", range(6))
def test_scores_agree_with_a_search_over_all_pairs_of_boundary_pixels(seed):
    random = np.random.default_rng(seed)
    shape = (48, 300)  # so wide that the tolerance is more than two pixels

    def blobs():
        mask = np.zeros(shape, np.uint8)
        for _ in range(4):
            row, column = random.integers(0, 40), random.integers(0, 280)
            mask[row : row + random.integers(3, 15), column : column + random.integers(3, 25)] = 1
        return mask

    truth, result = blobs(), blobs()
    truth[:, 100:110] = IGNORE
    found = scores_of((truth, result))
    distance, f1 = by_search(truth, result, found.tolerance_px)
    assert found.mean_distance_px == pytest.approx(distance, rel=1e-5)
    assert found.f1 == pytest.approx(f1)


def test_where_the_picture_or_the_counted_part_ends_there_is_no_edge():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, :5] = GAS_SMOKE
    counted = np.ones(mask.shape, bool)
    assert set(np.nonzero(boundary_of(mask == 1, counted))[1]) == {4}
    counted[:, 5:] = False
    assert not boundary_of(mask == 1, counted).any()


def test_an_unmarked_plume_counts_against_f1_and_is_told_apart_from_a_far_one():
    found = scores_of((square(10), square(10)), (square(10), np.zeros((40, 60), np.uint8)))
    assert (found.pictures, found.unanswered) == (2, 1)
    assert found.mean_distance_px == 0
    assert found.f1 == 0.5


def test_an_empty_scene_has_no_boundary_to_miss():
    found = scores_of((np.zeros((40, 60), np.uint8), square(10)))
    assert (found.pictures, found.mean_distance_px, found.f1) == (0, None, None)
