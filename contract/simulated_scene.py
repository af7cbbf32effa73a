"""A still scene with machines and a moving gas or smoke plume, with its true mask, from a seed.

It stands in for a camera in demonstrations and teaches a network what no public picture labels:
machines, infrared gas, and look-alikes that must not be taken for gas. A frame depends on (kind,
size, seed, options, index) alone, so any frame can be had without those before it.

The plume is a sum of puffs that a gusty wind carries from a machine: each spreads with the square
root of its age, as turbulent diffusion does, and is torn by two layers of drifting noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.errors import ConfigError
from contract.label_map import GAS_SMOKE, MACHINE
from contract.simulated_plant import Noise, paint_background, paint_lookalikes, paint_machines

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KINDS", "OPACITY_THRESHOLD", "SimulatedScene"]

KINDS = ("gas", "smoke")
OPACITY_THRESHOLD = 0.12
"""A pixel is gas-smoke in the mask where the plume hides more than this share of what is behind."""

_PUFFS = 48  # alive at once
_TABLE = 256  # random numbers repeat after so many puffs

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Plume:
    """How one plume blows; lengths in pixels, times in frames."""

    x: float  # where it comes out
    y: float
    wind_x: float
    wind_y: float
    radius: float  # of a fresh puff
    growth: float  # of the radius with the square root of age
    density: float
    life: float
    tearing: float  # how far noise displaces it
    colour: Float  # (3,) BGR 0..255
    gust: Float  # (_TABLE, 4): side, sway phase, strength, radius of each puff


class SimulatedScene:
    """One camera that does not move.

    Args:
        kind: "gas" (thin, infrared) or "smoke" (denser).
        width: of a frame in pixels, 32 or more.
        height: of a frame in pixels, 32 or more.
        seed: decides everything random; equal seeds give equal frames.
        grey: grey frames, all three channels equal; None means grey for gas only.
        plume: whether there is a plume; None leaves it to the seed (five in six have one).
        onset: frame at which the plume begins to come out; None means that it blows already.

    Raises:
        ConfigError: for an unknown kind or too small a frame.
    """

    def __init__(
        self,
        kind: str,
        width: int,
        height: int,
        seed: int,
        grey: bool | None = None,  # noqa: FBT001 - a property of the camera
        *,
        plume: bool | None = None,
        onset: int | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"simulated scene of kind {kind!r}; kinds are {' and '.join(KINDS)}")
        if width < 32 or height < 32:
            raise ConfigError(f"simulated scene of {width}x{height}; at least 32x32 is needed")
        self.kind, self.width, self.height, self.seed = kind, width, height, seed
        self.grey = kind == "gas" if grey is None else grey
        self._onset = -np.inf if onset is None else float(onset)
        random = np.random.default_rng([seed, KINDS.index(kind), 7])
        self._noise = Noise(random)
        still = paint_background(random, self._noise, width, height, grey=self.grey)
        paint_lookalikes(random, self._noise, still, grey=self.grey)
        self._machines, outlets = paint_machines(random, still, grey=self.grey)
        has_plume = bool(random.random() < 5 / 6)
        self._plume = self._make_plume(random, still, outlets)
        self.has_plume = has_plume if plume is None else plume
        self._still = still
        self._sensor_noise = float(random.uniform(0.8, 3.5 if self.grey else 2.5))
        fixed = random.standard_normal((1, width, 1)).astype(np.float32)
        self._pattern = fixed * float(random.uniform(0, 1.2)) if self.grey else fixed * 0

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give frame `index` (0 or more): picture (h, w, 3) BGR and class indices (h, w)."""
        random = np.random.default_rng([self.seed, index, 11])
        channels = 1 if self.grey else 3
        picture = self._still[..., :channels] + self._pattern
        mask = np.where(self._machines, np.uint8(MACHINE), np.uint8(0))
        if self.has_plume and index >= self._onset:
            opacity, shade = self._opacity(float(index))
            colour = self._plume.colour[:channels] * shade[..., None]
            picture += opacity[..., None] * (colour - picture)
            mask[opacity > OPACITY_THRESHOLD] = GAS_SMOKE
        shape = (self.height, self.width, channels)
        picture += random.standard_normal(shape, np.float32) * np.float32(self._sensor_noise)
        pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        return np.repeat(pixels, 3, axis=2) if self.grey else pixels, mask

    def _make_plume(
        self, random: np.random.Generator, still: Float, outlets: Sequence[tuple[float, float]]
    ) -> _Plume:
        size = float(min(self.width, self.height))
        x, y = outlets[int(random.integers(len(outlets)))]
        speed = size * random.uniform(0.006, 0.02)
        angle = random.uniform(0, 2 * np.pi)
        rise = 0.25 if self.kind == "gas" else 0.8  # gas may sink, hot smoke rises
        thick = random.uniform(0.5, 1.6) if self.kind == "gas" else random.uniform(0.8, 4.0)
        return _Plume(
            x=x,
            y=y,
            wind_x=float(speed * np.cos(angle)),
            wind_y=float(speed * (0.6 * np.sin(angle) - rise)),
            radius=float(size * random.uniform(0.008, 0.025)),
            growth=float(size * random.uniform(0.006, 0.016)),
            density=float(thick),
            life=float(random.uniform(40, 110)),
            tearing=float(size * random.uniform(0.008, 0.05)),
            colour=self._plume_colour(random, still, x, y),
            gust=random.random((_TABLE, 4)).astype(np.float32),
        )

    def _plume_colour(self, random: np.random.Generator, still: Float, x: float, y: float) -> Float:
        around = self.height // 6
        row, column = int(y), int(x)
        near = still[
            max(0, row - 2 * around) : row + around + 1,
            max(0, column - around) : column + around + 1,
        ]
        level = float(near.mean())
        if self.grey:
            # absorbing or emitting, whichever the temperatures make it; always a real difference
            contrast = random.uniform(55, 130)
            darker = (level > 128) if random.random() < 0.6 else (level > 60 and level - 55 > 0)
            return np.full(3, np.clip(level + (-contrast if darker else contrast), 0, 255), "f4")
        if self.kind == "gas":
            tint = level + (-60.0 if level > 128 else 60.0)
            return np.clip(tint + random.uniform(-12, 12, 3), 0, 255).astype(np.float32)
        bright = random.uniform(170, 245) if random.random() < 0.7 else random.uniform(25, 80)
        if abs(bright - level) < 40:
            bright = level - 80 if level > 128 else level + 80
        return np.clip(bright + random.uniform(-10, 10, 3), 0, 255).astype(np.float32)

    def _opacity(self, time: float) -> tuple[Float, Float]:
        """Share of the background that the plume hides, and its shading, (h, w) each."""
        plume = self._plume
        step = plume.life / _PUFFS
        last = int(np.floor(time / step))
        numbers = np.arange(last - _PUFFS + 1, last + 1)
        age = time - numbers * step
        alive = (age >= 0) & (age < plume.life) & (numbers * step >= self._onset)
        numbers, age = numbers[alive], age[alive].astype(np.float32)
        side, sway, strength, radius = plume.gust[numbers % _TABLE].T
        root = np.sqrt(age)
        spread = plume.growth * root * (0.7 + 0.6 * radius)
        sigma = plume.radius * (0.7 + 0.6 * radius) + spread
        # a slow gust sways all puffs of a time together, each goes its own way beside that
        gust = np.sin(numbers * (step * 0.07)) + 0.6 * np.sin(numbers * (step * 0.19) + 2)
        away = plume.growth * root * (side - 0.5) * 2.5 + gust * age * plume.radius * 0.02
        length = np.hypot(plume.wind_x, plume.wind_y) + 1e-6
        centre_x = plume.x + plume.wind_x * age - away * plume.wind_y / length
        centre_y = plume.y + plume.wind_y * age + away * plume.wind_x / length
        fade = np.minimum(1, (plume.life - age) / (0.4 * plume.life))
        thinning = (plume.radius / sigma) ** 1.1
        weight = plume.density * fade * thinning * (0.5 + strength) * (1 + 0.4 * np.sin(6 * sway))
        density = self._density(centre_x, centre_y, sigma, weight)
        return self._torn(density, time)

    def _density(self, x: Float, y: Float, sigma: Float, weight: Float) -> Float:
        """Sum the puffs; a round Gaussian is a product of a row and a column."""
        columns = np.arange(self.width, dtype=np.float32)
        rows = np.arange(self.height, dtype=np.float32)
        x, y, sigma, weight = (v.astype(np.float32)[:, None] for v in (x, y, sigma, weight))
        across = weight * np.exp(-0.5 * ((columns - x) / sigma) ** 2)
        down = np.exp(-0.5 * ((rows - y) / sigma) ** 2)
        # einsum and not a matrix product: BLAS libraries differ in their last digits
        summed: Float = np.einsum("kr,kc->rc", down, across, optimize=False)
        return summed

    def _torn(self, density: Float, time: float) -> tuple[Float, Float]:
        """Displace and thin the density by noise that drifts with the wind."""
        plume, noise = self._plume, self._noise
        drift_x, drift_y = plume.wind_x * time, plume.wind_y * time
        scale = 128 / min(self.width, self.height)
        window = (self.height, self.width)
        push_x = noise.window(window, drift_x, drift_y, scale, layer=0)
        push_y = noise.window(window, drift_x * 0.8 + 31, drift_y * 0.8, scale, layer=1)
        rows = np.arange(self.height)[:, None] + (push_y * plume.tearing).astype(np.int32)
        columns = np.arange(self.width) + (push_x * plume.tearing).astype(np.int32)
        np.clip(rows, 0, self.height - 1, out=rows)
        np.clip(columns, 0, self.width - 1, out=columns)
        fine = noise.window(window, drift_x * 1.1, drift_y * 1.1 + 17, scale * 2, layer=2)
        torn = density[rows, columns] * np.clip(0.75 + 0.65 * fine, 0, None)
        opacity: Float = 1 - np.exp(-torn)
        most = 0.75 if self.kind == "gas" else 0.95
        shade: Float = 1 + 0.08 * push_x + 0.05 * fine
        return (opacity * np.float32(most)).astype(np.float32), shade.astype(np.float32)
