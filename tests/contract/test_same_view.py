"""The same view is found through other light, other files and other smoke, and no other is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.pictures import pictures_in, read_picture
from contract.same_view import look_of, same_view


def view(seed: int) -> np.ndarray:
    """A picture with detail of its own at every scale."""
    random = np.random.default_rng(seed)
    picture = np.zeros((96, 128, 3), np.float32)
    for size in (6, 12, 24):
        picture += cv2.resize(random.uniform(0, 85, (size, size, 3)).astype(np.float32), (128, 96))
    return picture.astype(np.uint8)


def packed(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 25])[1], 1)


def smoked(picture: np.ndarray) -> np.ndarray:
    smoke = picture.copy()
    smoke[20:50, 30:60] = 200
    return smoke


@pytest.mark.parametrize(
    "change",
    [
        packed,
        smoked,
        lambda p: cv2.resize(p, (300, 200)),
        lambda p: cv2.convertScaleAbs(p, alpha=0.5, beta=70),
        lambda p: np.repeat(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2),
        lambda p: np.ascontiguousarray(p[:, ::-1]),
    ],
    ids=["jpeg", "smoke", "size", "light", "grey", "mirrored"],
)
def test_the_same_view_is_found_whatever_was_done_to_the_picture(change):
    looks = np.stack([look_of(view(1)), look_of(view(2)), look_of(change(view(1)))])
    first, second = same_view(looks)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2)]


def test_other_views_and_pictures_without_detail_are_alike_to_none():
    fog = [np.full((64, 64, 3), 180, np.uint8)] * 2
    looks = np.stack([look_of(p) for p in [*fog, *(view(seed) for seed in range(60))]])
    assert not len(same_view(looks)[0])


def test_pairs_are_found_across_blocks():
    looks = np.random.default_rng(0).standard_normal((2100, 1024)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    looks[2050] = looks[3]
    looks[2051] = looks[2050]
    first, second = same_view(looks)
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    assert found == {(3, 2050), (3, 2051), (2050, 2051)}


@pytest.mark.data
def test_composites_over_one_photograph_are_found_among_real_ones(real_data):
    files = pictures_in(real_data / "smoke5k_syn" / "images")
    first, _ = same_view(np.stack([look_of(read_picture(file)) for file in files]))
    assert 10 < len(first) < 60  # of 1,000, most over photographs of their own
