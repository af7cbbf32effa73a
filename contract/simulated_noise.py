"""Noise that repeats without a seam, made once a process and cut anew by every scene."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDDY_SIDE", "GRAIN", "SOFT", "blurred", "eddies", "window"]

Float = NDArray[np.float32]

SOFT = 4
"""Layers from here on are smooth (hills, clouds, fog); those below are rough (soil, smoke)."""

GRAIN = 3
"""The layer of what is as fine as pixels: leaves, stones."""

EDDY_SIDE = 128  # of the tile of eddies
_SIDE = 512  # of a scalar tile
_STEEPNESS = (1.55, 1.55, 1.55, 0.7, 2.4, 2.4)  # how fast amplitude falls with the wave number
_ORIGIN = 2002  # of the tiles' random numbers: the same for everyone


def window(
    shape: tuple[int, int], left: float, top: float, scale: float, *, layer: int, flat: float = 1
) -> Float:
    """Cut (h, w) noise of mean 0 and standard deviation about 1 out of a tile of 512 cells.

    Args:
        shape: rows and columns wanted.
        left: offset in cells.
        top: as `left`.
        scale: cells a pixel; larger is finer, and below 1 it is interpolated.
        layer: which of the six tiles; 4 and 5 are smooth.
        flat: how many times wider than high its grains are.
    """
    tile = _scalars()[layer]
    for axis, (count, start, step) in enumerate(
        ((shape[0], top, scale * flat), (shape[1], left, scale))
    ):
        place = np.arange(count) * step + start
        whole = np.floor(place)
        cell = whole.astype(np.int64) % _SIDE
        here = tile.take(cell, axis)
        if step < 1:
            share = (place - whole).astype(np.float32)
            share = share[:, None] if axis == 0 else share
            here += (tile.take((cell + 1) % _SIDE, axis) - here) * share
        tile = here
    return tile


def eddies() -> NDArray[np.complex64]:
    """Divergence-free velocity u + iv on (128, 128) cells, root mean square 1, period 128.

    It is the curl of a random stream function whose energy falls with the wave number to the power
    of -5/3, as in the inertial range of turbulence (Kolmogorov 1941).
    """
    return _eddies()


def blurred(picture: Float, passes: int) -> Float:
    """Blur rows and columns of (h, w) or (h, w, c) by [1 2 1]/4, `passes` times; a new array."""
    picture = picture.copy()
    for view in (picture, picture.swapaxes(0, 1)) * passes:
        first, last = view[:2].copy(), view[-2:].copy()
        sides = view[:-2] + view[2:]
        sides *= np.float32(0.25)
        np.multiply(view, np.float32(0.5), out=view)
        view[1:-1] += sides
        view[0] = first[0] * np.float32(0.75) + first[1] * np.float32(0.25)
        view[-1] = last[1] * np.float32(0.75) + last[0] * np.float32(0.25)
    return picture


@lru_cache(maxsize=1)
def _scalars() -> tuple[Float, ...]:
    random = np.random.default_rng(_ORIGIN)
    distance = _wave_numbers(_SIDE)[2]
    tiles = []
    for layer, steep in enumerate(_STEEPNESS):
        least = 2.0 if layer >= SOFT else 6.0
        amplitude = np.where(distance < least, 0.2, 1.0) / distance**steep
        phases = np.exp(2j * np.pi * random.random((_SIDE, _SIDE)))
        tile = np.fft.ifft2(phases * amplitude).real
        tiles.append(np.asarray(tile / tile.std(), np.float32))
    return tuple(tiles)


@lru_cache(maxsize=1)
def _eddies() -> NDArray[np.complex64]:
    random = np.random.default_rng(_ORIGIN + 1)
    across, down, distance = _wave_numbers(EDDY_SIDE)
    stream = np.exp(2j * np.pi * random.random((EDDY_SIDE, EDDY_SIDE))) / distance ** (7 / 3)
    stream[distance < 2] = 0  # wider than that is a change of the wind
    stream[distance > EDDY_SIDE / 3] = 0
    velocity = np.fft.ifft2(1j * down * stream).real - 1j * np.fft.ifft2(1j * across * stream).real
    return np.asarray(velocity / np.sqrt((np.abs(velocity) ** 2).mean()), np.complex64)


def _wave_numbers(
    side: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Across, down and their length, each (side, side); the constant's length is infinite."""
    frequency = np.fft.fftfreq(side, 1 / side)
    across, down = np.meshgrid(frequency, frequency)
    distance = np.hypot(across, down)
    distance[0, 0] = np.inf
    return across, down, distance
