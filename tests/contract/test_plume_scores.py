"""Recall by plume size and false alarms, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from contract.plume_scores import PLUME_EDGES, empty_scenes, false_gas_of, recall_by_plume_size
from contract.scores import ScoreBoard


def picture(true_gas=0, marked_of_it=0, marked_elsewhere=0, pixels=1000, ignored=0):
    """(truth, result) rows of `pixels` counted pixels; gas lies first, marks from its start."""
    truth = np.zeros(pixels + ignored, np.uint8)
    truth[:true_gas] = GAS_SMOKE
    truth[pixels:] = IGNORE
    result = np.zeros_like(truth)
    result[:marked_of_it] = GAS_SMOKE
    result[true_gas : true_gas + marked_elsewhere] = GAS_SMOKE
    result[pixels:] = GAS_SMOKE
    return truth[None], result[None]


def images(*pictures, labelled=(BACKGROUND, GAS_SMOKE, MACHINE)):
    board = ScoreBoard(labelled)
    for number, (truth, result) in enumerate(pictures):
        board.add(truth, result, name=str(number))
    return board.images


def bin_of(scores, area_to):
    return next(each for each in scores if each.area_to == area_to)


def test_plumes_fall_into_the_bin_of_their_share_of_what_is_counted():
    # 1 of 1000 pixels is on the edge and belongs below it; ignored pixels are no part of the whole
    scores = recall_by_plume_size(
        images(picture(1), picture(2), picture(5, ignored=9000), picture(1000), picture(0))
    )
    assert [each.plumes for each in scores] == [1, 1, 1, 0, 0, 0, 1]
    assert [each.area_from for each in scores[1:]] == [each.area_to for each in scores[:-1]]
    assert (scores[0].area_from, scores[-1].area_to) == (PLUME_EDGES[0], PLUME_EDGES[-1])


def test_a_plume_is_found_from_a_tenth_of_its_pixels_on_and_pixels_are_pooled():
    pictures = [picture(20, 2, 300), picture(20, 1), picture(30, 30), picture(20, 0, 500)]
    found = bin_of(recall_by_plume_size(images(*pictures)), 0.03)
    assert (found.plumes, found.found) == (4, 2)
    assert found.found_recall == 0.5
    assert found.truth_pixels == 90
    assert found.pixel_recall == pytest.approx(33 / 90)


def test_a_size_without_a_plume_has_no_recall_instead_of_nought_or_one():
    found = bin_of(recall_by_plume_size(images(picture(20, 20))), 1.0)
    assert (found.plumes, found.found_recall, found.pixel_recall) == (0, None, None)


def test_false_alarms_are_counted_on_pictures_without_gas_only():
    scores = empty_scenes(
        images(
            picture(marked_elsewhere=1),  # exactly a thousandth alarms
            picture(),
            picture(marked_elsewhere=1, pixels=1001),
            picture(5, 0, 400),
        )
    )
    assert (scores.pictures, scores.alarms) == (3, 1)
    assert scores.alarm_rate == pytest.approx(1 / 3)
    assert scores.false_area == pytest.approx(2 / 3001)


def test_a_set_without_an_empty_scene_claims_no_false_alarm_rate():
    scores = empty_scenes(images(picture(5, 0, 400)))
    assert (scores.pictures, scores.alarm_rate, scores.false_area) == (0, None, None)


def test_a_picture_that_counts_nowhere_is_not_an_empty_scene():
    nothing = np.full((1, 9), IGNORE, np.uint8)
    assert empty_scenes(images((nothing, nothing * 0))).pictures == 0


def test_gas_marked_on_a_machine_is_false_gas():
    truth = np.array([[MACHINE, MACHINE, GAS_SMOKE, 0]], np.uint8)
    result = np.array([[GAS_SMOKE, MACHINE, GAS_SMOKE, 0]], np.uint8)
    (image,) = images((truth, result))
    assert false_gas_of(image) == 0.25
