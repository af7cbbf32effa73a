"""Machines of a simulated plant: pipes, flanges, valves, tanks, housings, stacks and masts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.simulated_plume import Obstacle

__all__ = ["Outlet", "Plant"]

Float = NDArray[np.float32]

# BGR of what plants are painted in: zinc, aluminium, white, rust, green, blue, yellow, soot
_PAINTS = np.array(
    (
        (140, 140, 135),
        (190, 188, 184),
        (225, 226, 224),
        (60, 80, 125),
        (85, 105, 70),
        (140, 100, 60),
        (60, 165, 205),
        (45, 45, 48),
    ),
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where gas may come out, and where to."""

    place: complex  # x + iy in pixels
    outward: complex  # of length 1


@dataclass(slots=True)
class Plant:
    """Paints machines on a canvas, which is (h, w, 3) levels or (h, w, 1) kelvin above the air."""

    random: np.random.Generator
    canvas: Float
    warmth: float = 0  # kelvin, the mean of what is painted in infrared
    covered: NDArray[np.bool_] = field(init=False)  # (h, w) where machines are
    outlets: list[Outlet] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with no machine."""
        self.covered = np.zeros(self.canvas.shape[:2], np.bool_)

    def paint_lone_pipe(self) -> None:
        """One pipe that comes in from an edge and ends open, in the middle of nothing else."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        radius = max(1.5, size * random.uniform(0.015, 0.06))
        end = complex(width * random.uniform(0.2, 0.8), height * random.uniform(0.2, 0.75))
        down = random.random() < 0.7
        angle = (np.pi / 2 if down else random.choice([0, np.pi])) + random.uniform(-0.15, 0.15)
        out = -complex(np.cos(angle), np.sin(angle))
        start = end - out * 1.5 * max(height, width)
        value = self._value()
        light = random.uniform(-0.7, 0.7)
        self._segment(start, end, radius, value, light)
        if random.random() < 0.5:  # an elbow
            turn = out * (1j if random.random() < 0.5 else -1j)
            tip = end + turn * radius * random.uniform(2, 6)
            self._segment(end - turn * radius, tip, radius, value, light)
            end, out = tip, turn
        self.outlets.append(Outlet(end, out))
        if random.random() < 0.6:
            self._flange(end - out * radius * random.uniform(1, 8), out, radius, value, light)
        if random.random() < 0.5:
            self._valve(end - out * radius * random.uniform(3, 12), out, radius, light)

    def paint_machines(self, count: int) -> None:
        """Several machines; each adds an outlet."""
        parts = [self._pipe, self._pipe, self._tank, self._housing, self._stack]
        for _ in range(count):
            parts[int(self.random.integers(len(parts)))]()

    def paint_mast(self) -> None:
        """A lattice mast or a pole with boxes, as lookouts have; gas comes out of none."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        foot = complex(width * random.uniform(0.03, 0.97), height * random.uniform(0.75, 1.2))
        top = foot - 1j * height * random.uniform(0.3, 1.1)
        value, half = self._value() * np.float32(0.6), size * random.uniform(0.003, 0.03)
        thin = max(0.7, size * 0.004)
        for side in (-half, half) if half > 3 * thin else (0,):
            self._segment(foot + side, top + side * 0.4, thin, value, 0)
        rungs = int(abs(top - foot) / max(2 * half, 3 * thin)) if half > 3 * thin else 0
        for rung in range(min(rungs, 14)):
            at = foot + (top - foot) * rung / min(rungs, 14)
            over = foot + (top - foot) * (rung + 1) / min(rungs, 14)
            self._segment(at - half, over + half * 0.8, thin * 0.7, value, 0)
        for _ in range(int(random.integers(0, 4))):
            at = foot + (top - foot) * random.uniform(0.5, 1) + random.uniform(-2, 2) * half
            long = size * random.uniform(0.01, 0.05)
            self._segment(at, at + long * 1j, long * random.uniform(0.3, 0.9), self._value(), 0.3)

    def _value(self) -> Float:
        """Colour or temperature of the next machine."""
        if self.canvas.shape[2] == 1:
            return np.full(1, self.warmth + self.random.uniform(-3, 3), np.float32)
        paint = _PAINTS[int(self.random.integers(len(_PAINTS)))]
        worn = paint * self.random.uniform(0.6, 1.15) * self.random.uniform(0.93, 1.07, 3)
        return np.asarray(np.clip(worn, 0, 250), np.float32)

    def _segment(
        self, start: complex, end: complex, radius: float, value: Float, light: float
    ) -> None:
        """Paint a straight round bar, lit from the side that `light` in -1..1 says."""
        height, width = self.covered.shape
        reach = radius + 1
        left = int(np.clip(min(start.real, end.real) - reach, 0, width))
        right = int(np.clip(max(start.real, end.real) + reach + 1, 0, width))
        top = int(np.clip(min(start.imag, end.imag) - reach, 0, height))
        bottom = int(np.clip(max(start.imag, end.imag) + reach + 1, 0, height))
        length = abs(end - start)
        if left >= right or top >= bottom or length == 0:
            return
        along = (end - start) / length
        x = (np.arange(left, right, dtype=np.float32) - np.float32(start.real))[None, :]
        y = (np.arange(top, bottom, dtype=np.float32) - np.float32(start.imag))[:, None]
        forth = x * np.float32(along.real) + y * np.float32(along.imag)
        across = (y * np.float32(along.real) - x * np.float32(along.imag)) / np.float32(radius)
        inside = (np.abs(across) <= 1) & (forth >= 0) & (forth <= length)
        shade = 0.45 + 0.7 * np.sqrt(np.clip(1 - (across - light) ** 2 / 3, 0, 1))
        target = self.canvas[top:bottom, left:right]
        target[inside] = shade[inside][:, None].astype(np.float32) * value
        self.covered[top:bottom, left:right] |= inside

    def _box(self, place: tuple[float, float, float, float], value: Float) -> None:
        """Paint a flat rectangle (left, top, right, bottom)."""
        left, top, right, bottom = (max(0, round(each)) for each in place)
        self.canvas[top:bottom, left:right] = value
        self.covered[top:bottom, left:right] = True

    def _flange(
        self, at: complex, along: complex, radius: float, value: Float, light: float
    ) -> None:
        half = along * max(1.0, radius * self.random.uniform(0.2, 0.4))
        tone = value * np.float32(self.random.uniform(0.8, 1.15))
        self._segment(at - half, at + half, radius * 1.5 + 0.5, tone, light)

    def _valve(self, at: complex, along: complex, radius: float, light: float) -> None:
        """A body, a stem across the pipe and a hand wheel."""
        value, across = self._value(), along * 1j * (1 if self.random.random() < 0.5 else -1)
        self._segment(
            at - along * radius * 1.3, at + along * radius * 1.3, radius * 1.3, value, 0.2
        )
        tip = at + across * radius * self.random.uniform(2, 3.2)
        self._segment(at, tip, max(0.8, radius * 0.35), value, light)
        wheel = along * radius * self.random.uniform(0.9, 1.6)
        self._segment(tip - wheel, tip + wheel, max(0.8, radius * 0.3), self._value(), light)
        self.outlets.append(Outlet(at + across * radius * 1.3, across))

    def _pipe(self) -> None:
        """A pipe across part of the picture with flanges, and perhaps a valve or an elbow."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        radius = max(1.2, size * random.uniform(0.01, 0.055))
        lying = random.random() < 0.55
        along = 1 + 0j if lying else 1j
        long = (width if lying else height) * random.uniform(0.3, 1.1)
        start = complex(
            width * random.uniform(-0.1, 0.5 if lying else 0.95),
            height * random.uniform(0.1 if lying else -0.1, 0.95 if lying else 0.5),
        )
        value, light = self._value(), random.uniform(-0.7, 0.7)
        end = start + along * long
        self._segment(start, end, radius, value, light)
        if random.random() < 0.4:
            turn = along * (1j if random.random() < 0.5 else -1j)
            tip = end + turn * size * random.uniform(0.1, 0.6)
            self._segment(end - turn * radius, tip, radius, value, light)
        for _ in range(int(random.integers(1, 4))):
            at = start + along * long * random.uniform(0.1, 0.95)
            self._flange(at, along, radius, value, light)
            side = along * (1j if random.random() < 0.5 else -1j)
            self.outlets.append(Outlet(at + side * radius, side))
        if random.random() < 0.4:
            self._valve(start + along * long * random.uniform(0.2, 0.8), along, radius, light)

    def _tank(self) -> None:
        """A standing or lying tank with a rounded end; gas comes out at the top."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        radius, tall = size * random.uniform(0.05, 0.15), size * random.uniform(0.15, 0.5)
        foot = complex(width * random.uniform(0.05, 0.95), height * random.uniform(0.5, 1))
        value, light = self._value(), random.uniform(-0.6, 0.6)
        top = foot - 1j * tall
        self._segment(foot, top, radius, value, light)
        for step in range(1, 6):  # the dome
            half = radius * np.sqrt(1 - (step / 6) ** 2)
            cap = top - 1j * radius * 0.3 * step / 6
            self._segment(cap + radius * 0.06j, cap, half, value, light)
        for _ in range(int(random.integers(0, 3))):
            at = foot - 1j * tall * random.uniform(0.1, 0.9)
            self._segment(at, at - 1j * max(1, radius * 0.08), radius * 1.03, value * 0.85, light)
        self.outlets.append(
            Outlet(top - 1j * radius * 0.3 + random.uniform(-0.6, 0.6) * radius, -1j)
        )
        self.obstacles.append(Obstacle(foot - 0.6j * tall, radius))

    def _housing(self) -> None:
        """A box with a darker side and slots, on the ground."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        wide, tall = size * random.uniform(0.08, 0.3), size * random.uniform(0.08, 0.25)
        left, top = random.uniform(-0.2, 0.9) * width, height * random.uniform(0.35, 0.95)
        value = self._value()
        self._box((left, top, left + wide, top + tall), value)
        self._box((left, top, left + wide / 6, top + tall), value * np.float32(0.7))
        self._box((left, top, left + wide, top + max(1, tall / 8)), value * np.float32(1.12))
        for slot in range(int(random.integers(0, 5))):
            at = top + tall * (slot + 2) / 8
            place = (left + wide / 3, at, left + wide * 0.85, at + max(1, tall / 20))
            self._box(place, value * np.float32(0.55))
        self.outlets.append(Outlet(complex(left + wide * random.uniform(0.1, 0.9), top), -1j))

    def _stack(self) -> None:
        """A chimney that narrows upwards, with bands; it is open at the top."""
        height, width = self.covered.shape
        random, size = self.random, min(height, width)
        radius, tall = size * random.uniform(0.012, 0.05), size * random.uniform(0.3, 0.75)
        foot = complex(width * random.uniform(0.05, 0.95), height * random.uniform(0.6, 1.1))
        value, light = self._value(), random.uniform(-0.6, 0.6)
        band = self._value() if random.random() < 0.4 else value
        for step in range(8):
            at, narrow = foot - 1j * tall * step / 8, radius * (1 - 0.05 * step)
            tone = band if step % 2 else value
            self._segment(at, at - 1j * (tall / 8 + 1), narrow, tone, light)
        self.outlets.append(Outlet(foot - 1j * tall, -1j))
