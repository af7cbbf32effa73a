"""Mosaics of labelled tiles: which are taken, and what is said of a table that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from contract.box_scores import read_yolo_boxes
from contract.errors import InputError
from contract.mosaics import Mosaics

HEAD = "grid,row,col,smoke_label,status\n"


def opened(folder, rows, grids=()):
    (folder / "tiles.csv").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return Mosaics.open(folder, grids)


def test_a_tile_is_cut_from_its_row_and_column(tmp_path):
    rows = ["a.mp4,0,0,0,ok", "a.mp4,0,1,1,ok", "a.mp4,1,0,0,dup", "a.mp4,1,1,0,ok"]
    mosaics = opened(tmp_path, rows)
    frame = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    cut = {(t.row, t.column): (t.with_smoke, p) for t, p in mosaics.cut("a.mp4", frame)}
    assert cut.keys() == {(0, 0), (0, 1), (1, 1)}
    assert [smoke for smoke, _ in cut.values()] == [False, True, False]
    assert np.array_equal(cut[0, 1][1], frame[:2, 2:])
    assert np.array_equal(cut[1, 1][1], frame[2:, 2:])


def test_repeats_leave_the_layout_as_it_is(tmp_path):
    mosaics = opened(tmp_path, ["a.mp4,0,0,0,ok", "a.mp4,3,3,0,dup"])
    ((_, picture),) = mosaics.cut("a.mp4", np.zeros((8, 8, 3), np.uint8))
    assert picture.shape == (2, 2, 3)


def test_frame_that_is_not_square_is_refused(tmp_path):
    mosaics = opened(tmp_path, ["a.mp4,0,0,0,ok"])
    with pytest.raises(InputError, match="frames are 6x4"):
        list(mosaics.cut("a.mp4", np.zeros((4, 6, 3), np.uint8)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid,row\n", "has no column col, smoke_label, status"),
        (f"{HEAD}a.mp4,x,0,0,ok\n", "cannot be read as a table of tiles"),
        (f"{HEAD}a.mp4,0\n", "cannot be read as a table of tiles"),
        (f"{HEAD}a.mp4,0,0,0,dup\n", "lists no tile with status ok"),
        (f"{HEAD}a.mp4,0,0,smoke,ok\n", "smoke_label"),
    ],
)
def test_table_that_is_wrong_is_refused_in_one_line(tmp_path, text, said):
    (tmp_path / "tiles.csv").write_text(text)
    with pytest.raises(InputError, match=said) as told:
        Mosaics.open(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.data
def test_real_tiles_and_boxes_are_read_whole(real_data):
    tiles = Mosaics.open(real_data / "rise").tiles
    assert sum(tile.with_smoke for tile in tiles) == 248
    assert sum(not tile.with_smoke for tile in tiles) == 250
    files = sorted((real_data / "gasvid_ir" / "labels").glob("*.txt"))
    assert len(files) == 500
    assert all(read_yolo_boxes(file) for file in files)
