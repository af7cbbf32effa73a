"""No set shares a picture or a view with another, unless one camera gave them all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.apart import open_apart
from calibration.disjoint import require_disjoint, seen_in
from calibration.frames import study
from contract.errors import InputError
from tests.bundles import tiny_pictures
from tests.calibration.conftest import write_pictures


@pytest.fixture
def sets(tmp_path):
    """Three pictures in each of two folders, all of other scenes."""
    shown = tiny_pictures(6)
    write_pictures(tmp_path / "a", shown[:3])
    write_pictures(tmp_path / "b", shown[3:])
    return tmp_path


def _studied(folder):
    return study(sorted(folder.iterdir()), doing="test")


def _require(folder, *, one_camera=False):
    sets = {"the frames": _studied(folder / "a"), "the test set": _studied(folder / "b")}
    require_disjoint(sets, one_camera=one_camera)


def test_an_equal_picture_is_refused_whatever_its_file(sets):
    _require(sets)
    cv2.imwrite(str(sets / "a" / "exact.bmp"), tiny_pictures(6)[5])
    with pytest.raises(InputError, match=r"1 of 4 pictures of the frames.*exact\.bmp = p002\.png"):
        _require(sets)
    with pytest.raises(InputError, match=r"exact\.bmp = p002\.png"):
        _require(sets, one_camera=True)


def test_the_same_view_in_other_light_and_size_is_refused_unless_one_camera_gave_all(sets):
    brighter = np.clip(cv2.resize(tiny_pictures(6)[4], (96, 96)).astype(int) + 6, 0, 255)
    cv2.imwrite(str(sets / "a" / "near.jpg"), brighter.astype(np.uint8))
    with pytest.raises(InputError, match=r"1 of 4.*near\.jpg ~ p001\.png.*--one-camera"):
        _require(sets)
    _require(sets, one_camera=True)
    frames, other = _studied(sets / "a"), _studied(sets / "b")
    assert [frames[at].path.name for at in seen_in(frames, [other], one_camera=False)] == [
        "near.jpg"
    ]


def test_a_list_names_pictures_of_the_control_folder(sets):
    (sets / "test.txt").write_text("p000\np002\n")
    apart = open_apart(sets / "test.txt", sets / "a")
    assert (apart.name, [each.path.name for each in apart.facts]) == (
        "test.txt",
        ["p000.png", "p002.png"],
    )
    assert apart.as_recorded().pictures[1].sha256 == apart.facts[1].sha256
    (sets / "test.txt").write_text("p000\nelsewhere\n")
    with pytest.raises(InputError, match=r"test\.txt: .*holds no picture elsewhere"):
        open_apart(sets / "test.txt", sets / "a", sets / "b")
