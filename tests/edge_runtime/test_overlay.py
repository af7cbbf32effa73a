from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from contract.errors import ConfigError
from contract.label_map import GAS_SMOKE
from contract.tags import CameraSnapshot, HealthCode, LeakState, Quality
from edge_runtime.overlay import blind_card, caption, draw_overlay, jpeg_from_picture
from edge_runtime.overlay_video import OverlayVideo
from tests.edge_runtime.conftest import noisy_picture

if TYPE_CHECKING:
    from pathlib import Path


def snapshot(quality: Quality, state: LeakState, **values) -> CameraSnapshot:
    return CameraSnapshot("north", 1, quality, 0, 0, {"Leak/State": state.value, **values})


def test_gas_is_tinted_where_it_lies_and_the_rest_is_untouched():
    picture = noisy_picture(width=640, height=480)
    mask = np.zeros((64, 64), np.uint8)
    mask[48:, 48:] = GAS_SMOKE
    drawn = draw_overlay(picture, mask, snapshot(Quality.GOOD, LeakState.NONE))
    assert drawn.shape == picture.shape
    assert (drawn[400:, 500:, 2].astype(int) - picture[400:, 500:, 2] > 60).all()
    assert (drawn[200:, :400] == picture[200:, :400]).all()
    assert (noisy_picture(width=640, height=480) == picture).all()  # the frame is not written to


def test_small_pictures_are_drawn_large_enough_for_the_words():
    picture = noisy_picture(width=120, height=90)
    drawn = draw_overlay(picture, None, snapshot(Quality.BAD, LeakState.UNKNOWN))
    assert drawn.shape == (360, 480, 3)


def test_large_pictures_are_drawn_small():
    drawn = draw_overlay(
        np.zeros((1080, 1920, 3), np.uint8), None, snapshot(Quality.BAD, LeakState.UNKNOWN)
    )
    assert drawn.shape == (540, 960, 3)


def test_a_bad_camera_is_captioned_unknown_with_the_reason_whatever_its_state_says():
    code = int(HealthCode.FROZEN | HealthCode.TEST_SOURCE)
    bad = snapshot(Quality.BAD, LeakState.NONE, **{"Health/Code": code})
    assert caption(bad) == ("north: UNKNOWN FROZEN TEST_SOURCE", LeakState.UNKNOWN)
    assert caption(snapshot(Quality.GOOD, LeakState.NONE))[0] == "north: NONE 0.00% GOOD"


def test_a_drills_leak_is_captioned_as_a_drill():
    code = int(HealthCode.DRILL | HealthCode.TEST_SOURCE)
    made_up = snapshot(Quality.UNCERTAIN, LeakState.LEAK, **{"Health/Code": code})
    assert caption(made_up)[0].startswith("north: DRILL LEAK ")


def test_a_card_is_a_picture_that_browsers_can_show():
    data = jpeg_from_picture(blind_card(snapshot(Quality.BAD, LeakState.UNKNOWN)))
    card = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert card.shape == (270, 480, 3)
    assert card.std() > 1  # something is written on it


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_an_overlay_video_is_whole_when_closed_and_not_there_before(tmp_path: Path, suffix: str):
    path = tmp_path / f"o{suffix}"
    with OverlayVideo(path, fps=10) as video:
        for index in range(5):
            video.write(noisy_picture(index))
        assert not path.exists()
    video.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(pictures_in_video(path)) == 5


def test_an_overlay_video_plays_at_the_speed_things_happened(tmp_path: Path):
    path = tmp_path / "o.avi"
    with OverlayVideo(path, fps=10) as video:
        for at_s in (50.0, 50.5, 51.0, 51.9, 52.7, 53.0):  # slow and uneven
            video.write(noisy_picture(int(at_s * 10)), at_s)
    assert len(pictures_in_video(path)) == 31


def test_a_long_gap_is_cut_short_so_that_no_old_picture_is_held(tmp_path: Path):
    path = tmp_path / "o.avi"
    with OverlayVideo(path, fps=10) as video:
        for at_s in (50.0, 50.1, 150.0, 150.1):
            video.write(noisy_picture(int(at_s * 10)), at_s)
    assert len(pictures_in_video(path)) <= 2 + 11 + 1


def test_a_video_of_an_unknown_kind_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"\.mp4, \.webm, \.avi"):
        OverlayVideo(tmp_path / "o.gif")


def pictures_in_video(path: Path) -> list:
    video, found = cv2.VideoCapture(str(path)), []
    while True:
        there, picture = video.read()
        if not there:
            video.release()
            return found
        found.append(picture)
