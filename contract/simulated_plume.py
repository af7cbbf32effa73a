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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.simulated_noise import EDDY_SIDE, blurred, eddies, window

__all__ = ["Obstacle", "Plume", "Release"]

Float = NDArray[np.float32]

_STEPS = 16  # of a filament's path, each a share of its life
_PER_STEP = 60  # filaments born in the time of a step
_FILAMENTS = _STEPS * _PER_STEP  # alive at once
_TABLE = 4096  # a filament's random numbers repeat after so many
_LEVELS = 5  # of the pyramid that filaments of growing width are laid on; cells of 1 to 16 pixels
_MARGIN = 32  # pixels round the picture where filaments still count
_FADING = 0.35  # share of its life in which a filament leaves


class _EddyLayer(NamedTuple):
    drift: float  # with how much of the wind's speed it goes
    finer: float  # how much finer than the largest eddies its largest are
    share: float  # of the turbulence; the squares sum up to 1


_EDDY_LAYERS = (_EddyLayer(1.0, 1.0, 0.8), _EddyLayer(0.55, 1.7, 0.6))


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
        self._apart = release.life / _FILAMENTS  # frames between two births
        self._cells = EDDY_SIDE / (2 * release.eddy_size)  # a pixel; the largest eddy fills half
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
        last = int(np.floor(time / self._apart))
        first = max(last - _FILAMENTS + 1, int(np.ceil(max(since, -1e9) / self._apart)))
        numbers = np.arange(first, last + 1)
        born = np.asarray(numbers * self._apart, np.float64)
        age = (time - born).astype(np.float32)
        spot = numbers % _TABLE
        place = self._table[0][spot] * np.float32(release.nozzle) + np.complex64(release.source)
        self._carry(place, born, age)
        radius = np.sqrt(release.nozzle**2 + release.growth**2 * age)
        sigma = (radius * (1 + 0.25 * np.tanh(self._table[1][spot].real))).astype(np.float32)
        mass = self._emission(born) * np.minimum(1, (release.life - age) / (_FADING * release.life))
        return place, sigma, np.maximum(mass, 0).astype(np.float32)

    def _emission(self, born: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative strength of the source when each filament was born."""
        phases, pulsing = self._phases, self._release.pulsing
        waves = np.sin(born * 0.13 + phases[0]) + 0.8 * np.sin(born * 0.31 + phases[1])
        return np.asarray(np.clip(1 + pulsing * 1.2 * waves, 0.05, None), np.float64)

    def _carry(self, place: NDArray[np.complex64], born: NDArray[np.float64], age: Float) -> None:
        """Move each filament from its place of birth to where it is at its age."""
        release = self._release
        step = release.life / _STEPS
        ends = np.arange(_STEPS + 1) / _STEPS
        lift = release.rise * np.diff(ends ** (2 / 3)) / step
        push = release.jet * -np.diff(np.exp(-12 * ends)) / step
        # a step is as long as _PER_STEP filaments are apart, so what depends on time alone is
        # worked out once, for the time of each birth, and cut where a step begins
        wind = self._wind(born)
        drifts = [self._drift(born, layer) for layer in (0, 1)]
        for number in range(_STEPS):
            begin = number * _PER_STEP
            active = len(place) - begin  # the oldest ones; the others are not as old
            if active <= 0:
                break
            now = place[:active]
            mean = wind[begin:] + np.complex64(lift[number] + push[number])
            speed = mean.copy()
            for layer, drift in enumerate(drifts):
                speed += self._eddy(now, drift[begin:], layer)
            for each in release.obstacles:
                away = now - np.complex64(each.centre)
                square = np.maximum(np.abs(away) ** 2, np.float32(each.radius**2))
                speed -= np.conj(mean) * away**2 * (np.float32(each.radius**2) / square**2)
            now += speed * np.minimum(age[:active] - np.float32(begin * self._apart), step)
            for each in release.obstacles:
                away = now - np.complex64(each.centre)
                far = np.maximum(np.abs(away), np.float32(1e-3))
                now += away * np.maximum(np.float32(each.radius) / far - 1, 0)
            if np.isfinite(release.ground):
                np.minimum(now.imag, np.float32(release.ground), out=now.imag)

    def _wind(self, when: NDArray[np.float64]) -> NDArray[np.complex64]:
        release, phases = self._release, self._phases
        swing = np.sin(when * 0.041 + phases[2]) + 0.6 * np.sin(when * 0.097 + phases[3])
        strength = 1 + 0.4 * release.gusts * np.sin(when * 0.063 + phases[4])
        wind = release.wind * strength * np.exp(0.5j * release.gusts * swing)
        return np.asarray(wind, np.complex64)

    def _drift(self, when: NDArray[np.float64], layer: int) -> NDArray[np.complex64]:
        """How far, in cells, the wind has carried a field of eddies past the picture."""
        cells = self._cells * _EDDY_LAYERS[layer].finer
        past = -self._release.wind * _EDDY_LAYERS[layer].drift * when * cells
        x, y = past.real + self._offsets[2 * layer], past.imag + self._offsets[2 * layer + 1]
        return np.asarray(x % EDDY_SIDE + 1j * (y % EDDY_SIDE), np.complex64)

    def _eddy(
        self, place: NDArray[np.complex64], drift: NDArray[np.complex64], layer: int
    ) -> NDArray[np.complex64]:
        """Speed of a field of eddies; two drift apart, so that eddies live and die."""
        field = _EDDY_LAYERS[layer]
        cell = place * np.float32(self._cells * field.finer) + drift
        column = cell.real.astype(np.int32) & (EDDY_SIDE - 1)
        row = cell.imag.astype(np.int32) & (EDDY_SIDE - 1)
        speed = eddies().ravel().take(row * EDDY_SIDE + column)
        return np.asarray(speed * np.float32(field.share * self._release.turbulence), np.complex64)

    def _laid_out(self, place: NDArray[np.complex64], sigma: Float, mass: Float) -> Float:
        """Sum the filaments: each on the two pyramid levels whose cells are nearest its width."""
        x, y = place.real + _MARGIN, place.imag + _MARGIN
        inside = (x > 0) & (y > 0) & (x < self._columns - 1) & (y < self._rows - 1)
        x, y, mass = x[inside], y[inside], mass[inside]
        level = np.clip(np.log2(np.maximum(sigma[inside], 1)), 0, _LEVELS - 1.001)
        lower = level.astype(np.int64)
        starts = np.cumsum([0, *(self._rows * self._columns >> 2 * k for k in range(_LEVELS))])
        cells, weights = [], []
        for up in (0, 1):
            number = lower + up
            share = mass * (level - lower if up else 1 - (level - lower))
            wide, high = self._columns >> number, self._rows >> number
            column, row = (np.ldexp(each, -number) - np.float32(0.5) for each in (x, y))
            left, top = np.floor(column), np.floor(row)
            right, down = column - left, row - top
            for at_y, heavy in ((top, share * (1 - down)), (top + 1, share * down)):
                line = starts[number] + np.clip(at_y.astype(np.int64), 0, high - 1) * wide
                for at_x, part in ((left, 1 - right), (left + 1, right)):
                    cells.append(line + np.clip(at_x.astype(np.int64), 0, wide - 1))
                    weights.append(heavy * part)
        counted = np.bincount(np.concatenate(cells), np.concatenate(weights), int(starts[-1]))
        laid: Float = counted.astype(np.float32)
        total: Float = np.zeros((self._rows >> _LEVELS, self._columns >> _LEVELS), np.float32)
        for rank in reversed(range(_LEVELS)):
            shape = self._rows >> rank, self._columns >> rank
            here: Float = laid[starts[rank] : starts[rank + 1]].reshape(shape)
            if rank < _LEVELS - 1:
                here += total.repeat(2, 1).repeat(2, 0) * np.float32(0.25)
            total = blurred(here, 2)
        return total

    def _fine_structure(self, time: float) -> Float:
        """What is finer than a filament: lognormal, drifting with the wind."""
        scale = 128 / self._release.eddy_size
        drift = -self._release.wind * time * scale
        left, top = drift.real + self._grain[0], drift.imag + self._grain[1]
        grain = window((self._height, self._width), left % 512, top % 512, scale, layer=0)
        return np.asarray(np.exp(np.float32(0.22) * grain), np.float32)
