"""Cameras of simulated scenes: what optics, sensor and codec make of the light that arrives.

An infrared camera sees kelvin above the air and gives grey levels by a fixed automatic gain; a
visible one sees levels already. Both blur, sample, add noise and may compress.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.simulated_noise import SOFT, blurred, window

__all__ = ["Camera", "infrared_camera", "palette", "visible_camera"]

Float = NDArray[np.float32]

_LINE_NOISE = 0.85  # levels that what comes after the sensor adds to an enlarged picture


_TURNED = (
    (slice(None), slice(None)),
    (slice(None, None, -1), slice(None)),
    (slice(None), slice(None, None, -1)),
)


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera; `gain` and `level` turn what it sees into 0..255."""

    gain: float
    level: float
    blur: int  # passes of [1 2 1]/4: the optics' modulation transfer
    pitch: int  # pixels of the picture that one of the sensor makes
    sharpen: float  # how much of what a blur takes away the camera adds again
    noise: float  # temporal, standard deviation in levels
    pattern: Float | None  # (h, w, 1) levels that stay: columns, pixels, left over by the NUC
    drift: float  # largest levels that shading gains until the next non-uniformity correction
    correction_every: int  # frames between two such corrections
    dead: NDArray[np.intp]  # (2, n) rows and columns of sensor pixels that are stuck
    stuck: Float  # (n, 1) at these levels
    block: tuple[int, int] | None  # rows and columns of the codec's blocks
    coarse: float  # levels that the codec drops within a block
    vignette: Float | None  # (h, w, 1) share of the light that reaches the sensor

    @property
    def least_contrast(self) -> float:
        """Levels by which gas must stand out to be seen: 4, or a little over the noise."""
        return max(4.0, 1.3 * self.noise + 0.5 * self.coarse)

    def contrast(self, change: Float, box: tuple[slice, slice]) -> Float:
        """How much a change of what is seen stands out in the picture, in levels.

        Args:
            change: (h, w) with plume minus without, in what the camera sees.
            box: rows and columns of the picture that `change` is of.

        Returns:
            (h, w) absolute levels after the optics, averaged over the few pixels that an eye or a
            network needs to tell a difference from noise.
        """
        if self.vignette is not None:
            change = change * self.vignette[..., 0][box]
        seen = np.abs(blurred(change, self.blur)) * np.float32(abs(self.gain))
        return blurred(seen, 2)

    def picture(self, seen: Float, index: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Picture (h, w, c) of what is seen at frame `index`; `random` is for its noise."""
        height, width = seen.shape[:2]
        levels = blurred(seen, self.blur)
        levels *= np.float32(self.gain)
        levels += np.float32(self.level)
        if self.vignette is not None:
            levels *= self.vignette
        if self.drift:
            since = (index % self.correction_every) / self.correction_every
            shading = window((height, width), 7, 7, 1.5 * 64 / (height + width), layer=SOFT + 1)
            levels += shading[..., None] * np.float32(self.drift * since)
        levels = self._sampled(levels)
        if self.sharpen:
            levels += (levels - blurred(levels, 2)) * np.float32(self.sharpen)
        if self.pattern is not None:
            levels += self.pattern
        # one plane of noise, turned over for each colour, looks as independent at a third the cost
        noise = random.standard_normal((height, width), np.float32)
        grain = noise[: levels.shape[0], : levels.shape[1]] * np.float32(self.noise)
        for channel, turned in zip(range(levels.shape[2]), _TURNED, strict=False):
            levels[..., channel] += grain[turned]
        levels[self.dead[0], self.dead[1]] = self.stuck
        if self.block is not None:
            levels = _coded(levels, self.block, self.coarse)
        if self.pitch > 1:
            levels = _enlarged(levels, self.pitch, height, width)
            levels += noise[::-1, ::-1, None] * np.float32(_LINE_NOISE)
        levels += np.float32(0.5)
        np.clip(levels, 0, 255, out=levels)
        return levels.astype(np.uint8)

    def _sampled(self, levels: Float) -> Float:
        """Average squares of `pitch` pixels."""
        if self.pitch == 1:
            return levels
        height, width, channels = levels.shape
        rows, columns = -(-height // self.pitch), -(-width // self.pitch)
        over = (0, rows * self.pitch - height), (0, columns * self.pitch - width), (0, 0)
        full = np.pad(levels, over, "edge")
        lines = full.reshape(rows, self.pitch, -1).sum(1)
        squares = lines.reshape(rows, columns, self.pitch, channels).sum(2)
        return np.asarray(squares * np.float32(1 / self.pitch**2), np.float32)


def infrared_camera(
    random: np.random.Generator, coldest: float, warmest: float, width: int, height: int
) -> Camera:
    """A camera whose gain shows the temperatures from `coldest` to `warmest` kelvin."""
    low, high = 8 + 72 * random.random() ** 2, random.uniform(160, 250)
    if random.random() < 0.2:  # little of the range is used
        low = random.uniform(20, 120)
        high = low + random.uniform(60, 110)
    if random.random() < 0.1:  # black is hot
        low, high = high, low
    gain = (high - low) / max(warmest - coldest, 1.0)
    pitch = int(random.choice(3, p=[0.45, 0.35, 0.2])) + 1
    rows, columns = -(-height // pitch), -(-width // pitch)
    stripes = random.standard_normal((1, columns, 1)) * random.uniform(0, 1)
    pixels = random.standard_normal((rows, columns, 1)) * random.uniform(0, 0.8)
    dead = int(random.integers(0, 6)) if random.random() < 0.4 else 0
    coded = random.random() < 0.45
    return Camera(
        gain=gain,
        level=low - gain * coldest,
        blur=int(random.integers(0, 5 - pitch)),
        pitch=pitch,
        sharpen=_sharpening(random),
        noise=float(random.uniform(0.8, 3.5)),
        pattern=(stripes + pixels).astype(np.float32),
        drift=float(random.uniform(0, 5)),
        correction_every=int(random.integers(300, 3000)),
        dead=np.stack([random.integers(0, rows, dead), random.integers(0, columns, dead)]),
        stuck=random.choice([0.0, 255.0], (dead, 1)).astype(np.float32),
        block=((8, 8), (4, 8), (2, 8))[int(random.integers(3))] if coded else None,
        coarse=float(random.uniform(1.5, 6)) if coded else 0.0,
        vignette=None,
    )


def visible_camera(
    random: np.random.Generator, width: int, height: int, *, lookout: bool
) -> Camera:
    """A colour camera; `lookout` ones have wide lenses that may darken the corners."""
    pitch = int(random.choice(2, p=[0.75, 0.25])) + 1
    coded = random.random() < 0.5
    vignette = None
    if lookout and random.random() < 0.4:
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
        far = np.hypot(x, y) / random.uniform(1.15, 1.5)
        vignette = np.clip(1 - far ** random.uniform(6, 16), 0.03, 1).astype("f4")[..., None]
    gain = random.uniform(0.85, 1.1)
    return Camera(
        gain=gain,
        level=float(random.uniform(-8, 12)),
        blur=int(random.random() < 0.4),
        pitch=pitch,
        sharpen=_sharpening(random),
        noise=float(random.uniform(0.8, 4)),
        pattern=None,
        drift=0.0,
        correction_every=1,
        dead=np.zeros((2, 0), np.intp),
        stuck=np.zeros((0, 1), np.float32),
        block=(8, 8) if coded else None,
        coarse=float(random.uniform(1, 4)) if coded else 0.0,
        vignette=vignette,
    )


def palette(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """False colours of a thermal camera, black over purple and orange to white.

    Args:
        grey: (h, w, 1) levels.

    Returns:
        (h, w, 3) BGR.
    """
    stops = np.array([0, 64, 128, 192, 255])
    colours = np.array([(10, 0, 0), (120, 10, 90), (90, 60, 220), (20, 170, 250), (235, 250, 255)])
    levels = np.arange(256)
    table = np.stack([np.interp(levels, stops, part) for part in colours.T], 1).astype(np.uint8)
    return table[grey[..., 0]]


def _sharpening(random: np.random.Generator) -> float:
    strength = random.uniform(0.4, 2.5)
    return float(strength) if random.random() < 0.35 else 0.0


def _coded(levels: Float, block: tuple[int, int], coarse: float) -> Float:
    """Flatten what differs little from its block's mean, as a thrifty codec does."""
    height, width, channels = levels.shape
    rows, columns = height // block[0] * block[0], width // block[1] * block[1]
    inner = levels[:rows, :columns]
    lines = inner.reshape(rows // block[0], block[0], columns * channels).sum(1)
    mean = lines.reshape(rows // block[0], columns // block[1], block[1], channels).sum(2)
    mean *= np.float32(1 / (block[0] * block[1]))
    flat = mean.repeat(block[1], 1).repeat(block[0], 0)
    inner -= flat
    inner *= np.abs(inner) >= np.float32(coarse)
    inner += flat
    return levels


def _enlarged(levels: Float, pitch: int, height: int, width: int) -> Float:
    """Interpolate `pitch` times between sensor pixels."""
    for axis, count in ((0, height), (1, width)):
        most = levels.shape[axis] - 1
        place = np.clip((np.arange(count) + 0.5) / pitch - 0.5, 0, most)
        cell = np.floor(place).astype(np.intp)
        share = (place - cell).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        here = levels.take(cell, axis)
        here += (levels.take(np.minimum(cell + 1, most), axis) - here) * share
        levels = here
    return levels
