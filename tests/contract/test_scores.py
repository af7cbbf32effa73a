"""Scores agree with an implementation that shares no line with ours."""

from __future__ import annotations

import numpy as np
import pytest

from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE, MACHINE
from contract.scores import ScoreBoard, confusion

ALL = {BACKGROUND, GAS_SMOKE, MACHINE}


def masks(seed, n=5, shape=(24, 32)):
    random = np.random.default_rng(seed)
    for number in range(n):
        # not every class in every image
        top = 2 if number % 2 else 3
        yield (
            random.integers(0, top, shape).astype(np.uint8),
            random.integers(0, 3, shape).astype(np.uint8),
        )


def board_of(pairs, labelled=ALL):
    board = ScoreBoard(labelled)
    for number, (truth, result) in enumerate(pairs):
        board.add(truth, result, name=str(number))
    return board.scores()


def sets_of(truth, result, index):
    """By sets of pixel numbers, as a textbook defines IoU and F1."""
    kept = [i for i, t in enumerate(truth) if t != IGNORE]
    return {i for i in kept if truth[i] == index}, {i for i in kept if result[i] == index}


def test_pooled_scores_agree_with_torchmetrics():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.classification")
    pairs = list(masks(1))
    for truth, _ in pairs:
        truth[:3] = IGNORE
    truth = torch.tensor(np.stack([t for t, _ in pairs]).astype(int))
    result = torch.tensor(np.stack([r for _, r in pairs]).astype(int))
    ours = board_of(pairs)
    options = {"num_classes": 3, "ignore_index": IGNORE, "average": "none"}
    for name, metric in {
        "iou": metrics.MulticlassJaccardIndex,
        "f1": metrics.MulticlassF1Score,
        "precision": metrics.MulticlassPrecision,
        "recall": metrics.MulticlassRecall,
    }.items():
        theirs = metric(**options)(result, truth).tolist()
        mine = [getattr(ours.classes[c.name], name) for c in CLASSES]
        assert mine == pytest.approx(theirs, abs=1e-6), name
    assert ours.mean_iou == pytest.approx(np.mean([c.iou for c in ours.classes.values()]))


def test_image_mean_is_over_images_and_their_own_classes():
    pairs = list(masks(2))
    expected = []
    for truth, result in pairs:
        ious = []
        for index in range(3):
            t, r = sets_of(truth.ravel(), result.ravel(), index)
            if t | r:
                ious.append(len(t & r) / len(t | r))
        expected.append(sum(ious) / len(ious))
    assert board_of(pairs).image_mean_iou == pytest.approx(sum(expected) / len(expected))


def test_ignored_pixels_count_nowhere():
    truth, result = next(masks(3))
    ignored = np.zeros(truth.shape, bool)
    ignored[4:9, 5:20] = True
    with_ignore = truth.copy()
    with_ignore[ignored] = IGNORE
    changed = result.copy()
    changed[ignored] = (changed[ignored] + 1) % 3
    assert board_of([(with_ignore, result)]) == board_of([(with_ignore, changed)])
    assert confusion(with_ignore, result, 3).sum() == (~ignored).sum()


def test_class_that_the_truth_does_not_tell_apart_counts_as_background():
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    result = np.array([[2, 0, 1, 2]], np.uint8)
    scores = board_of([(truth, result)], labelled={BACKGROUND, GAS_SMOKE})
    assert scores.classes["machine"].iou is None
    assert scores.classes["background"].iou == pytest.approx(2 / 3)
    assert scores.classes["gas-smoke"].iou == pytest.approx(1 / 2)
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_machine_taken_for_gas_still_counts_as_false_gas_where_it_is_labelled():
    scores = board_of([(np.full((2, 2), 2, np.uint8), np.full((2, 2), 1, np.uint8))])
    assert scores.classes["gas-smoke"].precision == 0
    assert scores.classes["machine"].recall == 0


def test_missed_gas_is_zero_and_absent_gas_is_no_score():
    clear = np.zeros((4, 4), np.uint8)
    gas = np.ones((4, 4), np.uint8)
    assert board_of([(gas, clear)]).classes["gas-smoke"].iou == 0
    assert board_of([(clear, gas)]).classes["gas-smoke"].iou == 0
    assert board_of([(clear, clear)]).classes["gas-smoke"].iou is None


def test_image_with_nothing_to_count_and_empty_set_give_no_number():
    nothing = np.full((4, 4), IGNORE, np.uint8)
    scores = board_of([(nothing, np.zeros((4, 4), np.uint8))])
    assert scores.n_images == 1
    assert scores.mean_iou is None
    assert scores.image_mean_iou is None
    assert board_of([]).mean_f1 is None
