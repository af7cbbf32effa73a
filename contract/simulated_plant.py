"""What stands still in a simulated scene: walls, sky and ground, machines, and look-alikes of gas.

Pictures are float32 (h, w, 3) BGR in 0..255 and painted in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Noise", "paint_background", "paint_lookalikes", "paint_machines"]

_SIDE = 256  # of a noise tile
_LAYERS = 4


class Noise:
    """Smooth noise tiles that repeat without a seam, mean 0, standard deviation 1."""

    def __init__(self, random: np.random.Generator) -> None:
        self._tiles = [_tile(random) for _ in range(_LAYERS)]

    def window(
        self, shape: tuple[int, int], left: float, top: float, scale: float, *, layer: int
    ) -> NDArray[np.float32]:
        """Cut (h, w) noise out of a tile, beginning at (left, top) picture pixels.

        Args:
            shape: rows and columns wanted.
            left: offset in picture pixels; the window slides smoothly enough with whole pixels.
            top: as `left`.
            scale: tile pixels a picture pixel; larger is finer.
            layer: which tile.
        """
        rows = ((np.arange(shape[0]) - round(top)) * scale).astype(np.int64) % _SIDE
        columns = ((np.arange(shape[1]) - round(left)) * scale).astype(np.int64) % _SIDE
        window: NDArray[np.float32] = self._tiles[layer % _LAYERS][rows][:, columns]
        return window


def _tile(random: np.random.Generator) -> NDArray[np.float32]:
    """Noise with power falling as in turbulence, made in the frequency plane."""
    frequency = np.fft.fftfreq(_SIDE, 1 / _SIDE)
    distance = np.hypot(frequency[:, None], frequency[None, :])
    distance[0, 0] = np.inf
    spectrum = np.exp(2j * np.pi * random.random((_SIDE, _SIDE))) / (distance**1.7 + 2)
    spectrum[distance < 3] *= 0.25  # what is wider than the picture is no texture
    tile = np.fft.ifft2(spectrum).real
    return np.asarray(tile / tile.std(), np.float32)


def paint_background(
    random: np.random.Generator, noise: Noise, width: int, height: int, *, grey: bool
) -> NDArray[np.float32]:
    """Sky over ground, a wall, or hills behind a horizon."""
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = _colour(random, 60, 225, grey=grey), _colour(random, 40, 190, grey=grey)
    picture = np.broadcast_to(top + (bottom - top) * rows, (height, width, 3)).copy()
    kind = random.random()
    if kind < 0.6:
        wave = noise.window((1, width), 0, 0, 0.5, layer=3)[0]
        horizon = height * random.uniform(0.35, 0.75) + wave * height * random.uniform(0, 0.04)
        below = np.arange(height)[:, None] > horizon
        ground = _colour(random, 25, 200, grey=grey) * (0.7 + 0.5 * rows)
        picture[below] = np.broadcast_to(ground, picture.shape)[below]
        grain = noise.window((height, width), 5, 9, random.uniform(2, 5), layer=1)[..., None]
        picture += below[..., None] * grain * random.uniform(2, 12)
    if kind > 0.45:
        _paint_panels(random, picture)
    coarse = noise.window((height, width), 40, 80, 96 / min(width, height), layer=2)[..., None]
    return np.asarray(picture + coarse * random.uniform(1, 7), np.float32)


def _paint_panels(random: np.random.Generator, picture: NDArray[np.float32]) -> None:
    """Wall panels, bricks, windows or steps: straight edges that are no machine."""
    height, width = picture.shape[:2]
    across, down = int(random.integers(2, 14)), int(random.integers(2, 14))
    levels = random.standard_normal((down, across)) * random.uniform(2, 14)
    rows = np.arange(height) * down // height
    columns = np.arange(width) * across // width
    top = int(height * random.uniform(0, 0.5))
    panels = levels[rows][:, columns].astype(np.float32)
    panels[:, np.flatnonzero(np.diff(columns))] -= random.uniform(0, 20)
    panels[np.flatnonzero(np.diff(rows))] -= random.uniform(0, 20)
    picture[top:] += panels[top:, :, None]


def paint_lookalikes(
    random: np.random.Generator, noise: Noise, picture: NDArray[np.float32], *, grey: bool
) -> None:
    """Clouds, stains and warm spots: soft and bright or dark as gas, but lying still on things."""
    height, width = picture.shape[:2]
    size = min(height, width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(int(random.integers(0, 4))):
        centre_x, centre_y = random.uniform(0, width), random.uniform(0, height)
        flat = random.uniform(1.5, 4)
        radius = size * random.uniform(0.04, 0.16)
        spot = np.exp(
            -0.5 * (((x - centre_x) / (radius * flat)) ** 2 + ((y - centre_y) / radius) ** 2)
        )
        if random.random() < 0.5:  # a cloud or a stain has an uneven edge, a warm spot has none
            left, top = random.uniform(0, _SIDE, 2)
            edge = noise.window((height, width), left, top, 128 / size, layer=3)
            spot *= np.clip(0.6 + 0.5 * edge, 0, None)
        change = random.uniform(25, 90) * (1 if random.random() < 0.7 else -1)
        tint = np.ones(3) if grey else random.uniform(0.8, 1.2, 3)
        picture += (spot[..., None] * change * tint).astype(np.float32)
    np.clip(picture, 0, 255, out=picture)


def paint_machines(
    random: np.random.Generator, picture: NDArray[np.float32], *, grey: bool
) -> tuple[NDArray[np.bool_], list[tuple[float, float]]]:
    """Paint two to five machines.

    Returns:
        (h, w) where machines are, and the points (x, y) where gas may come out: flanges and edges.
    """
    covered = np.zeros(picture.shape[:2], np.bool_)
    outlets: list[tuple[float, float]] = []
    parts: list[Callable[..., tuple[float, float]]] = [_pipe, _pipe, _tank, _box]
    for _ in range(int(random.integers(2, 6))):
        part = parts[int(random.integers(len(parts)))]
        outlets.append(part(random, picture, covered, _colour(random, 30, 225, grey=grey)))
    np.clip(picture, 0, 255, out=picture)
    return covered, outlets


def _colour(
    random: np.random.Generator, low: float, high: float, *, grey: bool
) -> NDArray[np.float32]:
    level = random.uniform(low, high)
    tint = np.ones(3) if grey else random.uniform(0.75, 1.25, 3)
    return np.clip(level * tint, 0, 255).astype(np.float32)


def _fill(
    picture: NDArray[np.float32],
    covered: NDArray[np.bool_],
    place: tuple[int, int, int, int],
    colour: NDArray[np.float32],
    shading: NDArray[np.float32],
) -> None:
    """Paint a rectangle (top, left, bottom, right); shading broadcasts over its pixels."""
    top, left, bottom, right = place
    rows, columns = slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))
    full = np.broadcast_to(shading, (bottom - top, right - left))
    shade = full[max(0, -top) :, max(0, -left) :][: picture.shape[0], : picture.shape[1]]
    target = picture[rows, columns]
    shade = shade[: target.shape[0], : target.shape[1]]
    target[...] = colour * shade[..., None]
    covered[rows, columns] = True


def _round(length: int, light: float) -> NDArray[np.float32]:
    """Brightness across a cylinder lit from one side; `light` in -1..1 says from where."""
    across = np.linspace(-1, 1, max(1, length))
    return (0.45 + 0.7 * np.sqrt(np.clip(1 - (across - light) ** 2 / 3, 0, 1))).astype(np.float32)


def _pipe(
    random: np.random.Generator,
    picture: NDArray[np.float32],
    covered: NDArray[np.bool_],
    colour: NDArray[np.float32],
) -> tuple[float, float]:
    """Paint a pipe with flanges, lying or standing; gas comes out at a flange."""
    lying = bool(random.random() < 0.55)
    if not lying:  # paint the lying pipe on the turned picture
        picture, covered = picture.transpose(1, 0, 2), covered.T
    height, width = covered.shape
    thick = max(3, int(min(height, width) * random.uniform(0.025, 0.11)))
    top = int(random.uniform(0.08, 0.9) * height)
    left = int(random.uniform(-0.1, 0.4) * width)
    right = int(random.uniform(0.6, 1.1) * width)
    light = random.uniform(-0.7, 0.7)
    _fill(picture, covered, (top, left, top + thick, right), colour, _round(thick, light)[:, None])
    outlet = (0.0, 0.0)
    for _ in range(int(random.integers(1, 4))):
        rim, long = max(1, thick // 4), max(2, thick // 3)
        at = int(random.uniform(max(0.05, left / width), min(0.95, right / width)) * width)
        place = (top - rim, at, top + thick + rim, at + long)
        shade = _round(thick + 2 * rim, light)[:, None] * np.float32(random.uniform(0.8, 1.15))
        _fill(picture, covered, place, colour, shade)
        outlet = (at + long / 2, float(top if random.random() < 0.6 else top + thick))
    return outlet if lying else (outlet[1], outlet[0])


def _tank(
    random: np.random.Generator,
    picture: NDArray[np.float32],
    covered: NDArray[np.bool_],
    colour: NDArray[np.float32],
) -> tuple[float, float]:
    """Paint a standing tank with a domed top; gas comes out at the dome."""
    height, width = covered.shape
    wide = max(6, int(width * random.uniform(0.1, 0.28)))
    top = int(height * random.uniform(0.2, 0.7))
    tall = int(height * random.uniform(0.2, 0.6))
    left = int(random.uniform(0.02, 0.98) * (width - wide))
    shade = _round(wide, random.uniform(-0.6, 0.6))[None, :]
    _fill(picture, covered, (top, left, top + tall, left + wide), colour, shade)
    dome = max(2, wide // 6)
    for row in range(dome):
        half = int(wide / 2 * np.sqrt(1 - ((dome - row) / dome) ** 2))
        if half and 0 <= top - dome + row < height:
            middle = left + wide // 2
            place = (top - dome + row, middle - half, top - dome + row + 1, middle + half)
            _fill(picture, covered, place, colour * 0.95, _round(2 * half, 0)[None, :])
    for _ in range(int(random.integers(0, 3))):  # hoops
        at = top + int(random.uniform(0.1, 0.9) * tall)
        _fill(
            picture, covered, (at, left, at + max(1, dome // 3), left + wide), colour, shade * 0.8
        )
    return left + wide * random.uniform(0.2, 0.8), float(max(0, top - dome // 2))


def _box(
    random: np.random.Generator,
    picture: NDArray[np.float32],
    covered: NDArray[np.bool_],
    colour: NDArray[np.float32],
) -> tuple[float, float]:
    """Paint a housing with a darker side and cooling slots; gas comes out at its upper edge."""
    height, width = covered.shape
    wide = max(6, int(width * random.uniform(0.1, 0.3)))
    tall = max(6, int(height * random.uniform(0.08, 0.25)))
    left = int(random.uniform(0, 0.9) * (width - wide))
    top = int(random.uniform(0.3, 0.92) * (height - tall))
    one = np.ones((1, 1), np.float32)
    _fill(picture, covered, (top, left, top + tall, left + wide), colour, one)
    _fill(picture, covered, (top, left, top + tall, left + max(1, wide // 6)), colour, one * 0.7)
    _fill(picture, covered, (top, left, top + max(1, tall // 8), left + wide), colour, one * 1.15)
    for slot in range(int(random.integers(0, 5))):
        at = top + tall * (slot + 2) // 8
        place = (at, left + wide // 3, at + max(1, tall // 20), left + wide - wide // 8)
        _fill(picture, covered, place, colour, one * 0.5)
    return left + wide * random.uniform(0.1, 0.9), float(top)
