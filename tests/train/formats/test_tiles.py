"""Tiles that people labelled 0 become a folder of pictures without gas, and no others do."""

from __future__ import annotations

import pytest

from contract.data_folder import DataFolder
from gasedge.cli import main


def imported(source, out, *options):
    assert main(["-q", "data", "import", str(source), str(out), *options]) == 0
    return DataFolder.open(out)


def test_only_tiles_labelled_0_with_status_ok_are_taken_every_nth_frame(mosaics, tmp_path):
    folder = imported(mosaics, tmp_path / "out", "--format", "tiles", "--every", "3")
    assert folder.names == tuple(
        f"{tile}-f{frame:03d}"
        for tile in ("north-r0c0", "north-r1c0", "south-r1c0")
        for frame in (0, 3)
    )
    levels = {name: round(float(picture.mean())) for name, picture, _ in folder}
    assert levels["north-r0c0-f000"] == pytest.approx(20, abs=2)
    assert levels["north-r1c0-f003"] == pytest.approx(70, abs=2)
    assert levels["south-r1c0-f000"] == pytest.approx(170, abs=2)
    assert all((mask == 0).all() for _, _, mask in folder)


def test_the_mosaic_is_the_group_and_a_finer_one_stands_beside_it(mosaics, tmp_path):
    folder = imported(mosaics, tmp_path / "out")
    assert set(folder.groups().values()) == {"north", "south"}
    assert len(set(folder.groups("index.csv", "clip").values())) == 3


def test_some_mosaics_can_be_kept_for_scoring(mosaics, tmp_path):
    folder = imported(mosaics, tmp_path / "out", "--grids", "south*")
    assert set(folder.groups().values()) == {"south"}


@pytest.mark.parametrize(
    ("change", "options", "code", "says"),
    [
        (None, ["--grids", "east"], 1, "no grid is called east; it has north.avi, south.avi"),
        (("north.avi,0,0,0,ok", "north.avi,0,0,0,dup"), [], 0, ""),
        (("grid,row", "grid,line"), [], 1, "has no column row"),
        (("south.avi,1,1", "south.avi,1,2"), ["--grids", "south*"], 1, "expected 3 square tiles"),
        (("north.avi,0,0,0", "north.avi,x,0,0"), [], 1, "cannot be read as a table of tiles"),
    ],
)
def test_a_table_that_does_not_fit_is_one_clear_line(
    mosaics, tmp_path, capsys, change, options, code, says
):
    if change:
        table = mosaics / "tiles.csv"
        table.write_text(table.read_text().replace(*change))
    out = tmp_path / "out"
    assert main(["-q", "data", "import", str(mosaics), str(out), *options]) == code
    assert says in capsys.readouterr().err
    assert out.exists() == (code == 0)


def test_a_mosaic_that_is_no_video_is_named(mosaics, tmp_path, capsys):
    (mosaics / "grids" / "north.avi").write_bytes(b"nothing")
    assert main(["-q", "data", "import", str(mosaics), str(tmp_path / "out")]) == 1
    assert "north.avi: cannot be opened as a video" in capsys.readouterr().err
