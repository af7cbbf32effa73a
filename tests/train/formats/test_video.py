"""Frames of a clip meet the masks of their own numbers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder
from contract.label_map import GAS_SMOKE
from gasedge.cli import main

FRAMES = 6


def truth(number: int) -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 8 * number : 8 * number + 16] = 255
    return mask


def write_video(path, pictures) -> None:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for picture in pictures:
        video.write(picture)
    video.release()


@pytest.fixture
def clips(tmp_path):
    """Two clips; where the mask is, the picture is bright."""
    source = tmp_path / "clips"
    source.mkdir()
    for name in ("north", "south"):
        frames = [np.repeat(truth(n)[..., None] // 2 + 30, 3, axis=2) for n in range(FRAMES)]
        write_video(source / f"{name}.avi", frames)
    return source


def with_pictures(clips, first: int = 0) -> None:
    for name in ("north", "south"):
        (clips / f"{name}_masks").mkdir()
        for number in range(FRAMES):
            file = clips / f"{name}_masks" / f"mask_{number + first:04d}.png"
            cv2.imwrite(str(file), truth(number))


def agree(folder: DataFolder, stem: str) -> float:
    _, picture, mask = (stem, *folder.read(stem))
    return float(((picture[..., 0] > 90) == (mask == GAS_SMOKE)).mean())


def test_masks_as_pictures_meet_their_frames(clips, tmp_path):
    with_pictures(clips)
    assert main(["-q", "data", "import", str(clips), str(tmp_path / "out")]) == 0
    folder = DataFolder.open(tmp_path / "out")
    assert len(folder) == 2 * FRAMES
    assert set(folder.groups().values()) == {"north", "south"}
    assert all(agree(folder, stem) > 0.97 for stem in folder.names)
    np.testing.assert_array_equal(folder.read("north-000003")[1] == GAS_SMOKE, truth(3) == 255)


def test_a_video_of_masks_meets_its_frames(clips, tmp_path):
    write_video(
        clips / "north_mask.avi",
        [np.repeat(truth(n)[..., None], 3, axis=2) for n in range(FRAMES)],
    )
    (clips / "south.avi").unlink()
    words = ["--format", "video", "--every", "2"]
    assert main(["-q", "data", "import", str(clips), str(tmp_path / "out"), *words]) == 0
    folder = DataFolder.open(tmp_path / "out")
    assert folder.names == ("north-000000", "north-000002", "north-000004")
    assert all(agree(folder, stem) > 0.97 for stem in folder.names)


def test_frames_without_a_mask_are_left_out(clips, tmp_path):
    with_pictures(clips)
    (clips / "south_masks" / "mask_0002.png").unlink()
    clip = clips / "south.avi"
    assert main(["-q", "data", "import", str(clip), str(tmp_path / "out")]) == 0
    assert "south-000002" not in DataFolder.open(tmp_path / "out").names


def test_masks_numbered_from_1_are_refused_not_shifted(clips, tmp_path, capsys):
    with_pictures(clips, first=1)
    assert main(["-q", "data", "import", str(clips), str(tmp_path / "out")]) == 1
    assert (
        "has no such frame: its last is 5 (frames are numbered from 0)" in capsys.readouterr().err
    )


def test_a_video_of_masks_of_another_length_is_refused(clips, tmp_path, capsys):
    drawn = np.zeros((48, 64, 3), np.uint8)
    for count, says in ((FRAMES - 1, "ends at frame 5"), (FRAMES + 1, "goes on after frame 5")):
        write_video(tmp_path / "m.avi", [drawn] * count)
        words = ["--masks", str(tmp_path / "m.avi")]
        clip = str(clips / "north.avi")
        assert main(["-q", "data", "import", clip, str(tmp_path / "out"), *words]) == 1
        assert says in capsys.readouterr().err


def test_a_video_without_masks_says_where_they_would_lie(clips, tmp_path, capsys):
    assert main(["-q", "data", "import", str(clips), str(tmp_path / "out")]) == 1
    assert "expected the folder north_masks/ or a video north_mask.avi" in capsys.readouterr().err


def test_a_source_that_is_nothing_known_asks_for_the_format(tmp_path, capsys):
    (tmp_path / "x").mkdir()
    assert main(["-q", "data", "import", str(tmp_path / "x"), str(tmp_path / "out")]) == 2
    assert "is in no format that shows itself; say which with --format" in capsys.readouterr().err
    assert main(["-q", "data", "import", str(tmp_path / "y"), str(tmp_path / "out")]) == 1
    assert "is not there" in capsys.readouterr().err
