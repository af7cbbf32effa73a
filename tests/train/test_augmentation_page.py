"""The page shows each augmentation of the study alone, by its name, and all together."""

from __future__ import annotations

import numpy as np
import pytest

from contract.geometry import InputGeometry
from gasedge.cli import main
from train.augment import Augmentation
from train.augmentation_page import OFF, alone
from train.config import AugmentConfig

STUDY = (
    "horizontal_flip",
    "shift",
    "scale",
    "rotate_degrees",
    "random_crop",
    "gaussian_noise",
    "intensity",
    "sharpen",
    "blur",
)
GEOMETRY = InputGeometry(width=64, height=64)


def test_the_list_of_the_study_is_there_by_its_names():
    assert tuple(AugmentConfig.model_fields)[: len(STUDY)] == STUDY


@pytest.mark.parametrize("name", AugmentConfig.model_fields)
def test_every_effect_alone_changes_the_picture_and_is_off_where_it_is_off(name):
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    only = alone(AugmentConfig(), name)
    frames = [
        Augmentation(only, GEOMETRY)(picture, mask, np.random.default_rng(seed))[0]
        for seed in range(4)
    ]
    assert any((frame != picture).any() for frame in frames)
    assert alone(OFF, name) is None


def test_the_page_names_what_it_shows(smoke_folder, tmp_path):
    config = tmp_path / "t.toml"
    config.write_text(
        '[[data]]\npath = "smoke"\n[input]\nwidth = 64\nheight = 64\n[augment]\nblur = 0\n'
    )
    page = tmp_path / "page.html"
    assert main(["-q", "data", "augmented", str(config), "--out", str(page)]) == 0
    text = page.read_text()
    for name in STUDY[:-1]:
        assert f">{name} = " in text
    assert "Switched off: blur." in text
    assert text.count("<img") == 2 * (1 + len(AugmentConfig.model_fields) - 1 + 6)
