"""The evaluator claims only what the truth allows, and keeps the pictures worth looking at."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from contract.evaluation import Evaluator
from contract.gallery import Gallery, ShownPicture
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE

FRAME = np.zeros((8, 8, 3), np.uint8)


def square(value, side):
    mask = np.zeros((8, 8), np.uint8)
    mask[:side, :side] = value
    return mask


def evaluated(labelled, *pairs):
    evaluator = Evaluator(labelled)
    for number, (truth, result) in enumerate(pairs):
        score = np.where(result == GAS_SMOKE, 255, 0).astype(np.uint8)
        evaluator.add(FRAME, truth, result, score, name=str(number))
    return evaluator.result()


def test_where_gas_is_not_labelled_no_quiet_scene_is_claimed():
    pair = (square(MACHINE, 3), square(GAS_SMOKE, 5))
    found = evaluated({BACKGROUND, MACHINE}, pair).plant
    assert (found.empty_scenes.pictures, found.reliability.pixels) == (0, 0)
    found = evaluated({BACKGROUND, MACHINE, GAS_SMOKE}, pair).plant
    assert (found.empty_scenes.pictures, found.empty_scenes.alarms) == (1, 1)
    assert found.empty_scenes.false_area == 25 / 64


def test_worst_and_best_and_most_falsely_marked_are_kept():
    pairs = [(square(GAS_SMOKE, 4), square(GAS_SMOKE, side)) for side in (1, 4, 3, 8)]
    found = evaluated({BACKGROUND, GAS_SMOKE}, *pairs)
    worst, best = found.ranked.ends()
    assert [each.caption[0] for each in worst] == ["3", "0"]
    assert [each.caption[0] for each in best] == ["1", "2"]
    (false,) = found.false_gas.lowest()
    assert "75.00 % wrongly marked" in false.caption


def test_shown_pictures_are_copies_of_buffers_that_are_used_again():
    evaluator = Evaluator({BACKGROUND, GAS_SMOKE})
    frame, truth = FRAME.copy(), square(GAS_SMOKE, 4)
    evaluator.add(frame, truth, truth, truth * np.uint8(255), name="a")
    frame[:] = truth[:] = 9
    (kept,) = evaluator.result().ranked.lowest()
    assert kept.frame.max() == 0
    assert kept.truth is not None
    assert kept.truth.max() == GAS_SMOKE


def offered(ranks, shown=3, groups=None):
    gallery, made = Gallery(shown), []
    for at, rank in enumerate(ranks):

        def make(rank=rank):
            made.append(rank)
            return ShownPicture(str(rank), FRAME, FRAME[..., 0])

        gallery.offer(rank, make, groups[at] if groups else None)
    return gallery, made


def captions(pictures):
    return [int(each.caption) for each in pictures]


def test_gallery_keeps_the_ends_of_any_number_and_makes_no_other():
    ranks = np.random.default_rng(3).permutation(500).tolist()
    gallery, made = offered(ranks)
    assert captions(gallery.lowest()) == [0, 1, 2]
    assert captions(gallery.highest()) == [499, 498, 497]
    assert len(made) < 60


def test_few_pictures_are_halved_between_the_ends():
    gallery, _ = offered([5, 1, 4, 2, 3])
    assert [captions(each) for each in gallery.ends()] == [[1, 2, 3], [5, 4]]


def test_of_near_copies_one_is_shown_at_either_end():
    groups = ["a", "a", "a", "b", "b", "c", "d"]
    gallery, _ = offered([3, 1, 2, 10, 9, 20, 30], groups=groups)
    assert captions(gallery.lowest()) == [1, 9, 20]
    assert captions(gallery.highest()) == [30, 20, 10]
