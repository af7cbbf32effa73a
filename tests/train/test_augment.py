"""Augmentation moves picture and mask as one, and leaves padding as deployment makes it."""

from __future__ import annotations

import numpy as np
import pytest

from contract.geometry import InputGeometry
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from contract.pictures import fit_mask, fit_picture
from train.augment import Augmentation
from train.config import AugmentConfig

GEOMETRY = InputGeometry(width=96, height=64)
OFF = AugmentConfig(
    horizontal_flip=0,
    shift=0,
    scale=1,
    rotate_degrees=0,
    random_crop=0,
    gaussian_noise=0,
    intensity=0,
    sharpen=0,
    blur=0,
    grey=0,
    invert=0,
)


def scene(width: int = 96, height: int = 64):
    """Classes painted in colours that tell them apart."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 20:60] = GAS_SMOKE
    mask[30:60, 70:90] = MACHINE
    picture = np.array([[60, 60, 60], [60, 60, 220], [220, 60, 60]], np.uint8)[mask]
    return picture, mask


def test_with_everything_off_the_frame_is_the_deployed_fit():
    picture, mask = scene()
    frame, truth, _ = Augmentation(OFF, GEOMETRY)(picture, mask, np.random.default_rng(1))
    assert (frame == fit_picture(picture, GEOMETRY)).all()
    assert (truth == fit_mask(mask, GEOMETRY)).all()


def test_with_everything_off_a_letterbox_lies_where_deployment_lays_it():
    picture, mask = scene(96, 96)
    frame, truth, _ = Augmentation(OFF, GEOMETRY)(picture, mask, np.random.default_rng(1))
    fitted = fit_mask(mask, GEOMETRY)
    assert (truth != fitted)[fitted != IGNORE].mean() < 0.05
    assert (truth[fitted == IGNORE] == BACKGROUND).mean() > 0.95
    assert np.abs(frame.astype(int) - fit_picture(picture, GEOMETRY)).mean() < 6


def test_picture_and_mask_move_together():
    picture, mask = scene()
    config = OFF.model_copy(
        update={"horizontal_flip": 0.5, "shift": 0.2, "scale": 1.6, "rotate_degrees": 30}
    )
    augmentation = Augmentation(config, GEOMETRY)
    moved = 0
    for seed in range(30):
        frame, truth, _ = augmentation(picture, mask, np.random.default_rng(seed))
        of_gas, of_machine = frame[truth == GAS_SMOKE], frame[truth == MACHINE]
        if len(of_gas) > 200:
            assert np.median(of_gas[:, 2]) > 200
        if len(of_machine) > 100:
            assert np.median(of_machine[:, 0]) > 200
        moved += int((truth != mask).mean() > 0.05)
    assert moved > 25


def test_padding_is_black_and_background_whatever_happens_to_the_picture():
    picture, mask = scene()
    mask[mask == BACKGROUND] = IGNORE  # so that background in the truth is padding alone
    strong = AugmentConfig(shift=0.4, rotate_degrees=90, gaussian_noise=60, intensity=1)
    for seed in range(20):
        frame, truth, _ = Augmentation(strong, GEOMETRY)(picture, mask, np.random.default_rng(seed))
        assert (truth == BACKGROUND).sum() > 200
        assert (frame[truth == BACKGROUND] == 0).all()


def test_pixels_that_the_truth_ignores_stay_to_be_seen():
    picture, mask = scene()
    mask[:8] = IGNORE
    frame, truth, _ = Augmentation(OFF, GEOMETRY)(picture, mask, np.random.default_rng(0))
    assert (truth[:8] == IGNORE).all()
    assert (frame[:8] == 60).all()


def test_grey_and_inversion_imitate_infrared():
    picture, mask = scene()
    config = OFF.model_copy(update={"grey": 1.0, "invert": 1.0})
    frame, *_ = Augmentation(config, GEOMETRY)(picture, mask, np.random.default_rng(0))
    assert (frame == frame[..., :1]).all()
    assert frame[0, 0, 0] == 255 - 60


def test_the_generator_decides_everything():
    picture, mask = scene()
    augmentation = Augmentation(AugmentConfig(), GEOMETRY)
    first, again, other = (
        augmentation(picture, mask, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("strength", [{"gaussian_noise": 40.0}, {"intensity": 0.8}, {"blur": 1.0}])
def test_changes_of_brightness_leave_the_mask_alone(strength):
    picture, mask = scene()
    augmentation = Augmentation(OFF.model_copy(update=strength), GEOMETRY)
    frame, truth, _ = augmentation(picture, mask, np.random.default_rng(3))
    assert (truth == mask).all()
    assert (frame != picture).any()


def test_weights_move_with_the_mask_and_padding_is_fully_trusted():
    picture, mask = scene()
    weights = np.where(mask == GAS_SMOKE, np.uint8(40), np.uint8(200))
    strong = AugmentConfig(shift=0.4, rotate_degrees=90)
    for seed in range(10):
        frame, truth, moved = Augmentation(strong, GEOMETRY)(
            picture, mask, np.random.default_rng(seed), weights
        )
        assert (moved[truth == GAS_SMOKE] == 40).all()
        assert set(np.unique(moved[truth != GAS_SMOKE])) <= {200, 255}
        assert (frame[moved == 255] == 0).all()


def test_without_weights_every_pixel_is_fully_trusted_and_nothing_else_changes():
    picture, mask = scene()
    augmentation = Augmentation(AugmentConfig(), GEOMETRY)
    plain = augmentation(picture, mask, np.random.default_rng(4))
    given = augmentation(picture, mask, np.random.default_rng(4), np.full_like(mask, 255))
    assert all((one == other).all() for one, other in zip(plain, given, strict=True))
    assert (plain[2] == 255).all()


def test_a_random_crop_lies_anywhere_in_the_picture_and_without_it_in_the_middle():
    _, mask = scene()
    centres = {}
    for random_crop in (0, 1):
        config = OFF.model_copy(update={"scale": 4.0, "random_crop": random_crop})
        augmentation = Augmentation(config, GEOMETRY)
        column = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None], (64, 96, 3)).copy()
        views = [augmentation(column, mask, np.random.default_rng(s))[0] for s in range(60)]
        # only magnified views are crops: those that show picture at both edges
        crops = [v for v in views if v[32, 0, 0] and v[32, -1, 0] and v[32, -1, 0] < 95]
        centres[random_crop] = [int(view[32, 48, 0]) for view in crops]
        assert len(crops) > 10
    assert np.ptp(centres[0]) <= 1
    assert np.ptp(centres[1]) > 30
