"""What is no leak and fools a detector: clouds, fog, steam, people, vehicles, dirt, shaking.

All of it is background in the mask, by decision. Steam is the hard one: in a visible picture it
is white like some smoke, and it is told from it by what water does. It leaves a vent at full
whiteness, rises, and where mixing with air has thinned it below saturation the droplets are gone
within a short way, so it ends in a ragged edge and leaves no haze behind it; smoke only thins. In
the infrared there is no steam here: in a gas camera's narrow band a short white cloud at a vent
is a leak for all that can be seen, and a network must not be taught to overlook it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.simulated_noise import SOFT, window
from contract.simulated_plume import Plume, Release

__all__ = ["Distractors", "Steam", "Walker", "paint_clouds", "paint_fog"]

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Walker:
    """A person or a vehicle that crosses the picture again and again."""

    start: complex  # pixels; where its feet or wheels are at frame 0
    speed: float  # pixels a frame, to the right
    tall: float  # pixels
    vehicle: bool
    body: Float  # (c,) colour or temperature
    head: Float  # of the head, or the windows
    legs: Float  # or the wheels

    def paint(self, canvas: Float, covered: NDArray[np.bool_], time: float) -> None:
        """Paint it where it is at `time`; it hides machines, so they are taken from `covered`."""
        span = canvas.shape[1] + 4 * self.tall
        x = (self.start.real + self.speed * time) % span - 2 * self.tall
        foot, tall = self.start.imag, self.tall
        if self.vehicle:
            _ellipse(canvas, covered, x, foot - 0.35 * tall, 1.3 * tall, 0.27 * tall, self.body, 6)
            _ellipse(canvas, covered, x, foot - 0.7 * tall, 0.7 * tall, 0.3 * tall, self.body, 6)
            _ellipse(canvas, covered, x, foot - 0.7 * tall, 0.55 * tall, 0.17 * tall, self.head, 6)
            for side in (-0.8, 0.8):
                wheel = 0.2 * tall
                _ellipse(canvas, covered, x + side * tall, foot - wheel, wheel, wheel, self.legs)
            return
        swing = 0.1 * tall * np.sin(time * 0.35)
        for side in (-1, 1):
            at = x + side * swing
            _ellipse(
                canvas, covered, at, foot - 0.24 * tall, 0.06 * tall, 0.26 * tall, self.legs, 4
            )
        _ellipse(canvas, covered, x, foot - 0.63 * tall, 0.13 * tall, 0.24 * tall, self.body, 4)
        _ellipse(canvas, covered, x, foot - 0.93 * tall, 0.075 * tall, 0.09 * tall, self.head)


@dataclass(frozen=True, slots=True)
class Steam:
    """A vent that blows off steam."""

    plume: Plume
    dense: float  # density near the vent, which scales the rest
    vanishes: float  # share of `dense` below which the air has taken up all droplets

    def opacity(self, time: float) -> Float:
        """Share of the background that it hides, (h, w)."""
        droplets = self.plume.density(time) * np.float32(1 / self.dense) - np.float32(self.vanishes)
        return np.asarray(1 - np.exp(np.float32(-4) * np.maximum(droplets, 0)), np.float32)


class Distractors:
    """What moves or disturbs in one scene; empty unless `active`.

    Args:
        random: decides which; the same numbers are drawn whether active or not.
        canvas: the background, for its size and kind.
        vents: where steam may come out.
        active: whether there are any.
    """

    def __init__(
        self, random: np.random.Generator, canvas: Float, vents: list[complex], *, active: bool
    ) -> None:
        height, width, channels = canvas.shape
        size = min(height, width)
        infrared = channels == 1
        has = random.random(6) < (0.35, 0.25, 0.45, 0.3, 0.3, 0.25)
        own = np.random.default_rng(random.integers(1 << 62))
        self.walkers: list[Walker] = []
        self.steam: Steam | None = None
        self._shake = float(size * own.uniform(0.002, 0.02)) if active and has[3] else 0.0
        self._flicker = float(own.uniform(0.02, 0.12)) if active and has[4] else 0.0
        self._phases = own.uniform(0, 2 * np.pi, 4)
        self.dirt: Float | None = None
        if not active:
            return
        if has[0]:
            count = int(own.integers(1, 4))
            self.walkers = [_walker(own, canvas, vehicle=False) for _ in range(count)]
        if has[1]:
            self.walkers.append(_walker(own, canvas, vehicle=True))
        if has[2] and vents and not infrared:
            self.steam = _steam(own, vents[int(own.integers(len(vents)))], width, height)
        if has[5]:
            self.dirt = _dirt(own, width, height)

    def shift(self, time: float) -> tuple[int, int]:
        """How far the camera looks aside at `time`: right and down in whole pixels."""
        if not self._shake:
            return 0, 0
        first, second, third, fourth = self._phases
        across = np.sin(time * 1.3 + first) + 0.7 * np.sin(time * 2.9 + second)
        down = np.sin(time * 1.7 + third) + 0.7 * np.sin(time * 3.7 + fourth)
        return round(across * self._shake), round(down * self._shake)

    def brightness(self, time: float) -> float:
        """Factor on the whole picture at `time`."""
        return 1 + self._flicker * float(np.sin(time * 2.1 + self._phases[0]))


def paint_clouds(random: np.random.Generator, canvas: Float, sky: NDArray[np.bool_]) -> None:
    """Paint cumulus or thin streaks in the sky; white, or warmer than clear sky in infrared."""
    height, width = sky.shape
    left, top = random.uniform(0, 512, 2)
    flat = random.uniform(2, 5)
    scale = random.uniform(30, 110) / min(width, height)
    shape = (height, width)
    field = window(shape, left, top, scale, layer=SOFT, flat=flat)
    field += 0.35 * window(shape, left + 99, top, scale * 2, layer=0, flat=flat / 1.5)
    cover = np.clip((field - random.uniform(0.3, 1.3)) * random.uniform(0.6, 2.5), 0, 1)
    cover = (cover * sky)[..., None] * np.float32(random.uniform(0.4, 1))
    if canvas.shape[2] == 1:
        canvas += cover * np.float32(random.uniform(1, 8))
        return
    light = np.float32(random.uniform(200, 252))
    shadow = np.float32(random.uniform(0.7, 0.95))
    lit = window(shape, left + 6, top - 10, scale, layer=SOFT, flat=flat) < field
    canvas += cover * (np.where(lit, light, light * shadow)[..., None] - canvas)


def paint_fog(random: np.random.Generator, canvas: Float, airlight: Float, line: float) -> None:
    """Paint a bank of fog or haze about the height `line`: wide, smooth, without a source."""
    height, width = canvas.shape[:2]
    left, top = random.uniform(0, 512, 2)
    uneven = window((height, width), left, top, 20 / min(width, height), layer=SOFT + 1, flat=4)
    rows = (np.arange(height, dtype=np.float32)[:, None] - line) / height
    bank = np.exp(-((rows / random.uniform(0.08, 0.5)) ** 2))
    thick = random.uniform(0.2, 1) * bank * np.clip(0.8 + 0.4 * uneven, 0, None)
    canvas += (1 - np.exp(-thick))[..., None].astype(np.float32) * (airlight - canvas)


def _ellipse(
    canvas: Float,
    covered: NDArray[np.bool_],
    x: float,
    y: float,
    half_width: float,
    half_height: float,
    value: Float,
    power: int = 2,
) -> None:
    """Paint an ellipse, or with a higher power a rounded box."""
    height, width = covered.shape
    left, right = (int(np.clip(x + s * (half_width + 1) + 0.5, 0, width)) for s in (-1, 1))
    top, bottom = (int(np.clip(y + s * (half_height + 1) + 0.5, 0, height)) for s in (-1, 1))
    if left >= right or top >= bottom:
        return
    across = ((np.arange(left, right) - x) / max(half_width, 0.5)) ** power
    down = ((np.arange(top, bottom) - y) / max(half_height, 0.5)) ** power
    inside = across[None, :] + down[:, None] <= 1
    canvas[top:bottom, left:right][inside] = value
    covered[top:bottom, left:right] &= ~inside


def _walker(random: np.random.Generator, canvas: Float, *, vehicle: bool) -> Walker:
    height, width, channels = canvas.shape
    size = min(height, width)
    tall = size * random.uniform(0.06, 0.18 if vehicle else 0.35)
    foot = height * random.uniform(0.6, 1)
    speed = tall * random.uniform(0.01, 0.04 if not vehicle else 0.1) * random.choice([-1, 1])

    def value(low: float, high: float) -> Float:
        if channels == 1:
            return np.full(1, random.uniform(low, high), np.float32)
        return (random.uniform(30, 220) * random.uniform(0.6, 1.4, 3)).clip(0, 255).astype("f4")

    start = complex(random.uniform(0, width), foot)
    head = value(8, 16)
    if channels == 3:
        head = np.array((120, 150, 195), "f4") * np.float32(random.uniform(0.4, 1.1))
    return Walker(start, speed, tall, vehicle, value(2, 9), head, value(1, 6))


def _steam(random: np.random.Generator, vent: complex, width: int, height: int) -> Steam:
    size = min(width, height)
    life = random.uniform(14, 40)
    reach = size * random.uniform(0.15, 0.5)
    speed = reach / life
    release = Release(
        source=vent,
        wind=complex(speed * random.uniform(-0.6, 0.6)),
        gusts=random.uniform(0.1, 0.5),
        turbulence=speed * random.uniform(0.35, 0.8),
        eddy_size=reach * random.uniform(0.2, 0.45),
        nozzle=size * random.uniform(0.006, 0.02),
        growth=np.sqrt(speed * size) * random.uniform(0.015, 0.03),
        life=life,
        jet=-0.25j * reach,
        rise=-reach * random.uniform(0.4, 1.2) * 1j,
        pulsing=random.uniform(0, 0.7),
    )
    plume = Plume(release, random, width, height)
    near = plume.density(60.0)
    dense = float(np.quantile(near[near > 0], 0.94)) if (near > 0).any() else 1.0
    return Steam(plume, max(dense, 1e-6), random.uniform(0.1, 0.35))


def _dirt(random: np.random.Generator, width: int, height: int) -> Float:
    """Change of brightness, in shares, by what sticks to the lens: out of focus and still."""
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    total = np.zeros((height, width), np.float32)
    for _ in range(int(random.integers(1, 5))):
        radius = min(width, height) * random.uniform(0.02, 0.12)
        far = np.hypot(x - random.uniform(0, width), y - random.uniform(0, height)) / radius
        disc = np.clip((1 - far) * random.uniform(1.5, 5), 0, 1)
        total += disc.astype(np.float32) * np.float32(random.uniform(-0.3, 0.15))
    return total
