from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.frames import require_sound, study
from contract.errors import InputError
from tests.bundles import tiny_pictures
from tests.calibration.conftest import write_pictures


def _studied(folder):
    return study(sorted(folder.iterdir()), doing="test")


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
    gravel = np.full((1, 192, 256, 1), 90.0) + random.normal(0, 50, (1, 192, 256, 1))
    gravel[:, :70] = 120  # sky
    write_pictures(tmp_path / "gravel", gravel.clip(0, 255).astype(np.uint8).repeat(3, axis=3))
    require_sound(_studied(tmp_path / "gravel"))
    write_pictures(tmp_path / "random", random.integers(0, 256, (3, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"p000\.png, p001\.png, p002\.png are random data"):
        require_sound(_studied(tmp_path / "random"))


def test_blank_frames_are_refused(tmp_path):
    write_pictures(tmp_path, np.full((1, 64, 64, 3), 9, np.uint8))
    with pytest.raises(InputError, match=r"p000\.png show nothing"):
        require_sound(_studied(tmp_path))


@pytest.mark.data
def test_real_smoke_pictures_are_taken_for_what_they_are(real_data):
    files = sorted((real_data / "smoke5k_syn" / "images").iterdir())[:24]
    infrared = sorted((real_data / "gasvid_ir" / "images").iterdir())[:8]
    frames = study(files + infrared, doing="test")
    require_sound(frames)
    assert all(frame.grey for frame in frames[24:])
