from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.frames import choose_frames, require_disjoint, require_sound, study
from contract.errors import InputError
from tests.bundles import tiny_pictures
from tests.calibration.conftest import write_pictures


def _studied(folder):
    return study(sorted(folder.iterdir()), doing="test")


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        choose_frames(tmp_path / "nowhere", only=None, count=256, seed=0)


def test_too_few_frames_are_refused_with_the_minimum(tmp_path):
    write_pictures(tmp_path, tiny_pictures(15))
    with pytest.raises(InputError, match=r"15 frames are too few.*at least 16"):
        choose_frames(tmp_path, only=None, count=256, seed=0)


def test_the_same_seed_draws_the_same_frames(tmp_path):
    write_pictures(tmp_path, tiny_pictures(40))
    drawn = choose_frames(tmp_path, only=None, count=16, seed=3)
    assert drawn == choose_frames(tmp_path, only=None, count=16, seed=3) == sorted(drawn)
    assert drawn != choose_frames(tmp_path, only=None, count=16, seed=4)


def test_a_list_selects_frames_of_a_data_folder(tmp_path):
    write_pictures(tmp_path / "images", tiny_pictures(20))
    stems = [f"p{n:03}" for n in range(2, 19)]
    assert [f.stem for f in choose_frames(tmp_path, only=stems, count=99, seed=0)] == stems
    with pytest.raises(InputError, match="no picture nope"):
        choose_frames(tmp_path, only=[*stems, "nope"], count=99, seed=0)


def test_a_repeated_frame_is_refused_even_in_another_file_format(tmp_path):
    shown = tiny_pictures(16)
    write_pictures(tmp_path, shown)
    cv2.imwrite(str(tmp_path / "q.bmp"), shown[4])
    with pytest.raises(InputError, match=r"q\.bmp: is the same picture as p004\.png"):
        require_sound(_studied(tmp_path))


def test_random_data_is_refused_and_real_texture_is_not(tmp_path):
    random = np.random.default_rng(0)
    shown = tiny_pictures(16)
    write_pictures(tmp_path / "good", shown)
    require_sound(_studied(tmp_path / "good"))
    noisy = np.clip(shown.astype(int) + random.normal(0, 12, shown.shape), 0, 255)
    write_pictures(tmp_path / "noisy", noisy.astype(np.uint8))
    require_sound(_studied(tmp_path / "noisy"))
    write_pictures(tmp_path / "random", random.integers(0, 256, (3, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"p000\.png, p001\.png, p002\.png are random data"):
        require_sound(_studied(tmp_path / "random"))


def test_blank_frames_are_refused(tmp_path):
    write_pictures(tmp_path, np.full((1, 64, 64, 3), 9, np.uint8))
    with pytest.raises(InputError, match=r"p000\.png show nothing"):
        require_sound(_studied(tmp_path))


def test_frames_of_the_control_set_are_refused_exact_and_recompressed(tmp_path):
    shown = tiny_pictures(6)
    write_pictures(tmp_path / "a", shown[:3])
    write_pictures(tmp_path / "b", shown[3:])
    control = _studied(tmp_path / "b")
    require_disjoint(_studied(tmp_path / "a"), control)
    cv2.imwrite(str(tmp_path / "a" / "exact.png"), shown[5])
    with pytest.raises(InputError, match=r"1 of 4 frames.*exact\.png = p002\.png"):
        require_disjoint(_studied(tmp_path / "a"), control)
    (tmp_path / "a" / "exact.png").unlink()
    brighter = np.clip(cv2.resize(shown[4], (96, 96)).astype(int) + 6, 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a" / "near.jpg"), brighter)
    with pytest.raises(InputError, match=r"1 of 4 frames.*near\.jpg ~ p001\.png"):
        require_disjoint(_studied(tmp_path / "a"), control)


@pytest.mark.data
def test_real_smoke_pictures_are_taken_for_what_they_are(real_data):
    files = sorted((real_data / "smoke5k_syn" / "images").iterdir())[:24]
    infrared = sorted((real_data / "gasvid_ir" / "images").iterdir())[:8]
    frames = study(files + infrared, doing="test")
    require_sound(frames)
    assert all(frame.grey for frame in frames[24:])
