"""A turbulent plume: filaments of gas carried by wind and eddies, seen from the side.

After Farrell et al., "Filament-based atmospheric dispersion model to achieve short time-scale
structure of odor plumes", Environmental Fluid Mechanics 2 (2002): a source lets out filaments,
eddies larger than a filament carry it, smaller ones widen it with the square root of its age. The
eddies are a divergence-free field with the -5/3 spectrum that drifts with the wind (Taylor's
hypothesis), so a cloud spreads as Richardson found without a further rule. Hot gas rises and
dense gas sinks as displacement ~ time^(2/3) (Briggs 1975), a jet loses its momentum
exponentially, and round obstacles the wind is a potential flow.

A grid solver was tried and not taken: PhiFlow 3.4, the best kept of them, needs 0.7 s a step of
128 x 128 cells on one core of the machine this was written on, reaches frame 1,000 only through
the 999 before it, and would bring 365 MB to a device where this needs numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.simulated_noise import EDDY_SIDE, eddies, window

__all__ = ["Obstacle", "Plume", "Release"]

Float = NDArray[np.float32]

_FILAMENTS = 1000  # alive at once
_STEPS = 18  # of a filament's path, each a share of its life
_TABLE = 4096  # a filament's random numbers repeat after so many
_LEVELS = 5  # of the pyramid that filaments of growing width are laid on; cells of 1 to 16 pixels
_MARGIN = 32  # pixels round the picture where filaments still count
_FADING = 0.35  # share of its life in which a filament leaves


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A round body in the wind's way; pixels."""

    centre: complex
    radius: float


@dataclass(frozen=True, slots=True)
class Release:
    """How one plume comes out and blows; x + iy in pixels (y is down), times in frames."""

    source: complex
    wind: complex  # pixels a frame
    gusts: float  # 0..1: how far the wind swings
    turbulence: float  # root mean square speed of the eddies, pixels a frame
    eddy_size: float  # of the largest, pixels
    nozzle: float  # radius where it comes out
    growth: float  # of a filament's radius with the square root of its age
    life: float
    jet: complex  # how far its own momentum carries it
    rise: complex  # how far buoyancy carries it in its life; negative imaginary is up
    pulsing: float  # 0 steady .. 1 in bursts
    obstacles: tuple[Obstacle, ...] = ()
    ground: float = np.inf  # y below which nothing sinks


class Plume:
    """The column density of a plume at any time, without the times before it.

    Args:
        release: how it blows.
        random: decides the rest; drawn from at construction only.
        width: of the picture in pixels.
        height: of the picture in pixels.
    """

    def __init__(
        self, release: Release, random: np.random.Generator, width: int, height: int
    ) -> None:
        self._release, self._width, self._height = release, width, height
        table = random.standard_normal((2, _TABLE)) + 1j * random.standard_normal((2, _TABLE))
        self._table = table.astype(np.complex64)
        self._phases = random.uniform(0, 2 * np.pi, 6)
        self._offsets = random.uniform(0, EDDY_SIDE, 4)
        self._grain = random.uniform(0, 512, 2)
        unit = 1 << (_LEVELS - 1)
        self._rows = -(-(height + 2 * _MARGIN) // unit) * unit
        self._columns = -(-(width + 2 * _MARGIN) // unit) * unit

    def density(self, time: float, since: float = -np.inf) -> Float:
        """Mass in the line of sight of each pixel, (h, w) float32, in filaments a pixel.

        Args:
            time: frame, 0 or more.
            since: frame at which the source opened.
        """
        place, sigma, mass = self._filaments(time, since)
        grid = self._laid_out(place, sigma, mass)
        grid = grid[_MARGIN : _MARGIN + self._height, _MARGIN : _MARGIN + self._width]
        return np.asarray(grid * self._fine_structure(time), np.float32)

    def _filaments(self, time: float, since: float) -> tuple[NDArray[np.complex64], Float, Float]:
        """Where the living filaments are, their radii and masses, oldest first."""
        release = self._release
        apart = release.life / _FILAMENTS
        last = int(np.floor(time / apart))
        first = max(last - _FILAMENTS + 1, int(np.ceil(max(since, -1e9) / apart)))
        numbers = np.arange(first, last + 1)
        born = np.asarray(numbers * apart, np.float64)
        age = (time - born).astype(np.float32)
        spot = numbers % _TABLE
        place = release.source + self._table[0][spot] * np.complex64(release.nozzle)
        place = self._carried(place.astype(np.complex64), born, age)
        radius = np.sqrt(release.nozzle**2 + release.growth**2 * age)
        sigma = (radius * (1 + 0.25 * np.tanh(self._table[1][spot].real))).astype(np.float32)
        mass = self._emission(born) * np.minimum(1, (release.life - age) / (_FADING * release.life))
        return place, sigma, np.maximum(mass, 0).astype(np.float32)

    def _emission(self, born: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative strength of the source when each filament was born."""
        phases, pulsing = self._phases, self._release.pulsing
        waves = np.sin(born * 0.13 + phases[0]) + 0.8 * np.sin(born * 0.31 + phases[1])
        return np.asarray(np.clip(1 + pulsing * 1.2 * waves, 0.05, None), np.float64)

    def _carried(
        self, place: NDArray[np.complex64], born: NDArray[np.float64], age: Float
    ) -> NDArray[np.complex64]:
        """Follow each filament from its birth to its age."""
        release = self._release
        step = release.life / _STEPS
        ends = np.arange(_STEPS + 1) / _STEPS
        lift = release.rise * np.diff(ends ** (2 / 3)) / step
        push = release.jet * -np.diff(np.exp(-12 * ends)) / step
        for number in range(_STEPS):
            left = np.minimum(age - number * step, step)
            active = int(np.searchsorted(-left, 0))  # ages fall, so the first ones are on their way
            if not active:
                break
            now = place[:active]
            wind = self._wind(born[:active] + number * step)
            mean = wind + np.complex64(lift[number] + push[number])
            speed = mean + self._eddy(now, born[:active] + number * step)
            for each in release.obstacles:
                away = now - np.complex64(each.centre)
                square = np.maximum(np.abs(away) ** 2, each.radius**2)
                speed -= np.conj(mean) * away**2 * (each.radius**2 / square**2)
            now += speed * left[:active]
            for each in release.obstacles:
                away = now - np.complex64(each.centre)
                inside = np.maximum(np.abs(away), 1e-3) < each.radius
                now += np.where(
                    inside, away * (each.radius / np.maximum(np.abs(away), 1e-3) - 1), 0
                )
            if np.isfinite(release.ground):
                now.imag = np.minimum(now.imag, release.ground)
        return place

    def _wind(self, when: NDArray[np.float64]) -> NDArray[np.complex64]:
        release, phases = self._release, self._phases
        swing = np.sin(when * 0.041 + phases[2]) + 0.6 * np.sin(when * 0.097 + phases[3])
        strength = 1 + 0.4 * release.gusts * np.sin(when * 0.063 + phases[4])
        wind = release.wind * strength * np.exp(0.5j * release.gusts * swing)
        return np.asarray(wind, np.complex64)

    def _eddy(
        self, place: NDArray[np.complex64], when: NDArray[np.float64]
    ) -> NDArray[np.complex64]:
        """Speed of two fields of eddies that drift apart, so that eddies live and die."""
        release, tile = self._release, eddies()
        cells = EDDY_SIDE / (2 * release.eddy_size)  # the largest has half the tile's side
        speed = np.zeros_like(place)
        for layer, (drift, finer, share) in enumerate(((1.0, 1.0, 0.8), (0.55, 1.7, 0.6))):
            back = -release.wind * drift * when * (cells * finer)
            x = place.real * (cells * finer) + (back.real + self._offsets[2 * layer]) % EDDY_SIDE
            y = (
                place.imag * (cells * finer)
                + (back.imag + self._offsets[2 * layer + 1]) % EDDY_SIDE
            )
            column = x.astype(np.int32) & (EDDY_SIDE - 1)
            row = y.astype(np.int32) & (EDDY_SIDE - 1)
            speed += tile[row, column] * np.float32(share * release.turbulence)
        return speed

    def _laid_out(self, place: NDArray[np.complex64], sigma: Float, mass: Float) -> Float:
        """Sum the filaments: each on the two pyramid levels whose cells are nearest its width."""
        level = np.clip(np.log2(np.maximum(sigma, 1)), 0, _LEVELS - 1.001)
        lower = level.astype(np.int64)
        x, y = place.real + _MARGIN, place.imag + _MARGIN
        inside = (x > 0) & (y > 0) & (x < self._columns - 1) & (y < self._rows - 1)
        starts = np.cumsum([0, *(self._rows * self._columns >> 2 * k for k in range(_LEVELS))])
        cells, weights = [], []
        for up in (0, 1):
            number = lower + up
            share = mass * inside * (level - lower if up else 1 - (level - lower))
            size = 1 << number
            column, row = x / size - 0.5, y / size - 0.5
            left, top = np.floor(column), np.floor(row)
            for right in (0, 1):
                for down in (0, 1):
                    at_x = np.clip(left + right, 0, self._columns // size - 1)
                    at_y = np.clip(top + down, 0, self._rows // size - 1)
                    cells.append(starts[number] + at_y * (self._columns // size) + at_x)
                    part = (column - left if right else 1 - (column - left)) * (
                        row - top if down else 1 - (row - top)
                    )
                    weights.append(share * part)
        index = np.where(np.tile(inside, 8), np.concatenate(cells), 0).astype(np.int64)
        laid = np.bincount(index, np.concatenate(weights), int(starts[-1])).astype(np.float32)
        total: Float = np.zeros((self._rows >> _LEVELS, self._columns >> _LEVELS), np.float32)
        for rank in reversed(range(_LEVELS)):
            shape = self._rows >> rank, self._columns >> rank
            here = laid[starts[rank] : starts[rank + 1]].reshape(shape)
            if rank < _LEVELS - 1:
                here = here + 0.25 * total.repeat(2, 0).repeat(2, 1)
            total = _smoothed(_smoothed(here))
        return total

    def _fine_structure(self, time: float) -> Float:
        """What is finer than a filament: lognormal, drifting with the wind."""
        scale = 128 / self._release.eddy_size
        drift = -self._release.wind * time * scale
        left, top = drift.real + self._grain[0], drift.imag + self._grain[1]
        grain = window((self._height, self._width), left % 512, top % 512, scale, layer=0)
        return np.asarray(np.exp(np.float32(0.22) * grain), np.float32)


def _smoothed(grid: Float) -> Float:
    """Blur by [1 2 1]/4 both ways; what lies at the outermost cells stays."""
    grid[1:-1] = 0.5 * grid[1:-1] + 0.25 * (grid[:-2] + grid[2:])
    grid[:, 1:-1] = 0.5 * grid[:, 1:-1] + 0.25 * (grid[:, :-2] + grid[:, 2:])
    return grid
