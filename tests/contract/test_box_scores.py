"""Weak scores on boxes, on pictures of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from contract.box_scores import Box, BoxBoard, inside_of, read_yolo_boxes
from contract.errors import InputError

LEFT_HALF = Box(0.0, 0.0, 0.5, 1.0)


def picture(marked=(), shape=(10, 20), score=200):
    """Mask with gas in the (rows, columns) slices, and its score."""
    mask = np.zeros(shape, np.uint8)
    for rows, columns in marked:
        mask[rows, columns] = 1
    return mask, mask * np.uint8(score)


def scores_of(*frames):
    board = BoxBoard()
    for boxes, (mask, score) in frames:
        board.add(boxes, mask, score)
    return board.scores()


def block(top, left, height, width):
    return slice(top, top + height), slice(left, left + width)


def test_pointing_takes_the_highest_score_wherever_the_mask_is():
    mask, score = picture([block(0, 0, 10, 9)])
    score[5, 15] = 255
    found = scores_of(((LEFT_HALF,), (mask, score)))
    assert found.pointing_maximum == 0
    assert found.pointing_centroid == 1


def test_highest_scores_that_tie_count_by_their_share_inside():
    found = scores_of(((LEFT_HALF,), picture([block(0, 0, 1, 3), block(0, 19, 1, 1)])))
    assert found.pointing_maximum == 0.75


def test_nothing_scored_or_marked_points_nowhere():
    found = scores_of(((LEFT_HALF,), picture()))
    assert (found.pointing_maximum, found.pointing_centroid, found.box_iou) == (0, 0, 0)
    assert (found.found_in_box, found.gas_inside_box, found.gas_only_outside_box) == (0, None, 0)


def test_share_inside_and_only_outside_are_of_the_frames_that_alarm():
    half = picture([block(2, 8, 4, 4)])
    outside = picture([block(2, 15, 2, 2)])
    found = scores_of(((LEFT_HALF,), half), ((LEFT_HALF,), outside), ((LEFT_HALF,), picture()))
    assert found.gas_inside_box == pytest.approx((0.5 + 0) / 2)
    assert found.found_in_box == pytest.approx(1 / 3)
    assert found.gas_only_outside_box == pytest.approx(1 / 3)


def test_rectangle_is_that_of_the_largest_region_against_its_best_box():
    marked = picture([block(0, 0, 4, 4), block(8, 18, 1, 1)])
    boxes = (Box(0.0, 0.0, 0.2, 0.8), Box(0.5, 0.5, 1.0, 1.0))
    found = scores_of((boxes, marked))  # 4x4 pixels of a box of 4 wide and 8 high
    assert found.box_iou == pytest.approx(0.5)
    assert found.box_iou_half == 1


def test_frame_without_a_box_counts_towards_false_alarms_only():
    found = scores_of(((), picture([block(0, 0, 2, 2)])), ((), picture()))
    assert (found.frames, found.frames_without_box) == (2, 2)
    assert found.alarms_without_box == 0.5
    assert (found.found_in_box, found.pointing_maximum) == (None, None)


def test_box_that_reaches_over_the_edge_does_not_wrap_round(tmp_path):
    (tmp_path / "a.txt").write_text("0 0.02 0.5 0.2 0.4\n\n")
    (box,) = read_yolo_boxes(tmp_path / "a.txt")
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0, 0.3, 0.12, 0.7))
    rows, columns = inside_of(box, (10, 100))
    assert (rows.start, rows.stop, columns.start, columns.stop) == (3, 7, 0, 12)


def test_empty_file_means_no_gas_and_a_missing_one_is_an_error(tmp_path):
    (tmp_path / "a.txt").touch()
    assert read_yolo_boxes(tmp_path / "a.txt") == ()
    with pytest.raises(InputError, match="a picture without gas has an empty file"):
        read_yolo_boxes(tmp_path / "b.txt")


@pytest.mark.parametrize(
    "line",
    ["0 0.5 0.5 0.2", "0 10 20 30 40", "gas 0.1 0.1 x 0.1", "0 0.5 0.5 0 0.1", "0 nan 0 1 1"],
)
def test_line_that_is_no_box_is_named(tmp_path, line):
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(InputError, match=r"a\.txt:2: "):
        read_yolo_boxes(tmp_path / "a.txt")
