"""Change a training picture and its mask as cameras, optics and mountings do.

One warp does shift, scale, rotation, crop and flip; noise comes from a pool. That is four times
as fast as the same steps through a library, and on a CPU with few cores it decides how many
pictures a network sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from contract.label_map import BACKGROUND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.geometry import InputGeometry
    from train.config import AugmentConfig

__all__ = ["Augmentation"]

_POOL = 1 << 20
_OUTSIDE = 254  # marks padding while pixels that the truth ignores are still to be seen
_SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


class Augmentation:
    """Turns a stored picture and mask into a training frame of the network's input size.

    Args:
        config: strengths.
        geometry: of the frames that come out.
    """

    def __init__(self, config: AugmentConfig, geometry: InputGeometry) -> None:
        self._config, self._geometry = config, geometry
        self._noise = np.random.default_rng(5).standard_normal(_POOL, np.float32)

    def __call__(
        self,
        picture: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        random: np.random.Generator,
        weights: NDArray[np.uint8] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Give an (H, W, 3) frame, (H, W) mask and (H, W) weights of the mask's pixels.

        Outside the picture is black, background, and of full weight.

        Args:
            picture: (h, w, 3) BGR of any size.
            mask: (h, w) class indices.
            random: decides everything.
            weights: (h, w) of the mask's pixels, 255 is full; None is full everywhere.
        """
        matrix = self._matrix(picture.shape[1], picture.shape[0], random)
        size = (self._geometry.width, self._geometry.height)
        frame = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
        truth = cv2.warpAffine(
            mask,
            matrix,
            size,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=_OUTSIDE,
        )
        frame = self._changed(frame, random)
        outside = truth == _OUTSIDE
        frame[outside] = 0  # padding stays as black as the deployed fit makes it
        # deployed frames have padding too: the network must learn that nothing is there
        truth[outside] = BACKGROUND
        if weights is None:
            trusted = np.full_like(truth, 255)
        else:
            trusted = cv2.warpAffine(
                weights,
                matrix,
                size,
                flags=cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=255,
            )
        return frame, np.asarray(truth, np.uint8), np.asarray(trusted, np.uint8)

    def _matrix(self, width: int, height: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Picture pixels -> frame pixels, (2, 3): the deployed fit, then what chance adds."""
        config, geometry = self._config, self._geometry
        place = geometry.of(width, height)
        fit_x, fit_y = place.width / width, place.height / height
        scale = config.scale ** random.uniform(-0.5, 1)
        angle = np.deg2rad(random.uniform(-1, 1) * config.rotate_degrees)
        mirror = -1.0 if random.random() < config.horizontal_flip else 1.0
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([mirror * fit_x, fit_y])
        # a magnified view is a crop, whose place may be any within the picture
        reach = config.shift + config.random_crop * max(0.0, scale - 1) / 2
        offset = random.uniform(-1, 1, 2) * reach * (place.width, place.height)
        target = np.array([geometry.width, geometry.height]) / 2 + offset - 0.5
        centre = np.array([width, height]) / 2 - 0.5
        return np.column_stack([linear, target - linear @ centre])

    def _changed(self, frame: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        config = self._config
        chance = random.random(5)
        if chance[0] < config.grey:
            frame = np.repeat(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
        if chance[1] < config.blur:
            frame = cv2.GaussianBlur(frame, (5, 5), random.uniform(0.4, 1.6))
        elif chance[2] < config.sharpen:
            share = random.uniform(0.2, 0.7)
            frame = cv2.addWeighted(cv2.filter2D(frame, -1, _SHARPEN), share, frame, 1 - share, 0)
        is_grey = bool((frame[::8, ::8, 0] == frame[::8, ::8, 2]).all())
        inverted = is_grey and chance[3] < config.invert
        frame = cv2.LUT(frame, self._curve(random, inverted=inverted))
        level = config.gaussian_noise * random.random() ** 2
        if level > 0.5:
            frame = self._noisy(frame, level, random, grey=is_grey)
        return np.asarray(frame, np.uint8)

    def _curve(self, random: np.random.Generator, *, inverted: bool) -> NDArray[np.uint8]:
        """Brightness, contrast and gamma in one table of 256 values."""
        strength = self._config.intensity
        values = np.linspace(0, 1, 256)
        if inverted:
            values = values[::-1]
        gamma, contrast, brightness = random.uniform(-1, 1, 3) * strength
        values = (values ** np.exp(gamma) - 0.5) * np.exp(contrast) + 0.5 + 0.5 * brightness
        return np.asarray(np.clip(np.rint(values * 255), 0, 255), np.uint8)

    def _noisy(
        self, frame: NDArray[np.uint8], level: float, random: np.random.Generator, *, grey: bool
    ) -> NDArray[np.uint8]:
        pixels = frame.shape[0] * frame.shape[1]
        size = pixels if grey else pixels * 3
        if size <= _POOL:
            start = int(random.integers(_POOL - size + 1))
            noise = self._noise[start : start + size]
        else:
            noise = np.resize(np.roll(self._noise, int(random.integers(_POOL))), size)
        noise = noise.reshape(*frame.shape[:2], -1) * np.float32(level)
        if grey:
            noise = np.repeat(noise, 3, axis=2)
        return np.asarray(cv2.add(frame, noise, dtype=cv2.CV_8U), np.uint8)
