"""What a simulated camera looks at behind the machines: land, a yard, a wall or leaves.

Visible canvases are (h, w, 3) BGR in 0..255; infrared ones are (h, w, 1) in kelvin above the air.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.simulated_noise import GRAIN, SOFT, window

__all__ = ["Backdrop", "infrared_backdrop", "visible_backdrop"]

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A painted background and what stands where in it."""

    canvas: Float  # (h, w, 3) levels or (h, w, 1) kelvin
    depth: NDArray[np.uint8]  # (h, w): 0 sky, then 1 (farthest) .. `layers` (nearest) ground
    layers: int
    edges: Float  # (layers, w): y of the upper edge of each layer
    airlight: Float  # (c,) what haze looks like
    clearness: tuple[float, ...]  # of each layer: share of its own light that reaches the camera
    is_open: bool  # land seen from afar, with no machine near


def visible_backdrop(random: np.random.Generator, width: int, height: int) -> Backdrop:
    """Land to the horizon in half of the scenes, else a yard under a sky, or a wall."""
    kind = random.random()
    if kind < 0.5:
        return _land(random, width, height)
    if kind < 0.8:
        return _yard(random, width, height)
    canvas = _ramp(_tint(random, 60, 220, 0.08), _tint(random, 40, 190, 0.08), width, height)
    _panel(random, canvas, random.uniform(3, 14))
    _texture(random, canvas, np.ones((height, width), np.bool_), random.uniform(2, 8))
    return _flat(canvas)


def infrared_backdrop(random: np.random.Generator, width: int, height: int) -> Backdrop:
    """Plain ground, sky over ground, a wall, or leaves; apparent temperatures."""
    level, slope = random.uniform(-12, 8), random.uniform(-3, 3)
    ends = np.full(1, level - slope, "f4"), np.full(1, level + slope, "f4")
    canvas = _ramp(*ends, width, height)
    everywhere = np.ones((height, width), np.bool_)
    kind = random.random()
    if kind < 0.4:
        _texture(random, canvas, everywhere, random.uniform(0.02, 0.35))
    elif kind < 0.65:
        rough = random.uniform(0.1, 0.8)
        line = _skyline(random, width, height * random.uniform(0.2, 0.75), height * 0.04)
        below = np.arange(height)[:, None] > line
        warmer = np.float32(random.uniform(2, 12) * (1 if random.random() < 0.8 else -1))
        canvas[below] += warmer
        _texture(random, canvas, below, rough)
        depth = below.astype(np.uint8)
        return Backdrop(canvas, depth, 1, line[None], canvas[0, 0], (1.0,), is_open=False)
    elif kind < 0.85:
        _panel(random, canvas, random.uniform(0.2, 1.5))
        _texture(random, canvas, everywhere, random.uniform(0.03, 0.3))
    else:
        left, top = random.uniform(0, 512, 2)
        scale = random.uniform(60, 200) / min(width, height)
        leaves = window((height, width), left, top, scale, layer=1)
        canvas += np.tanh(leaves)[..., None] * np.float32(random.uniform(0.4, 2.5))
    return _flat(canvas)


def _flat(canvas: Float) -> Backdrop:
    height, width = canvas.shape[:2]
    depth = np.ones((height, width), np.uint8)
    edges = np.zeros((1, width), np.float32)
    return Backdrop(canvas, depth, 1, edges, canvas.mean((0, 1)), (1.0,), is_open=False)


def _land(random: np.random.Generator, width: int, height: int) -> Backdrop:
    """Ridges that fade with distance into airlight (Koschmieder's law), under a sky."""
    canvas, airlight = _sky(random, width, height)
    depth = np.zeros((height, width), np.uint8)
    layers = int(random.integers(2, 6))
    top, bottom = height * random.uniform(0.25, 0.6), height * random.uniform(0.75, 1.02)
    haze = random.uniform(0.15, 0.9)  # optical thickness of the air a layer
    soil = np.array([48, 70, 78], "f4") * random.uniform(0.35, 1.1)
    soil = soil * random.uniform(0.8, 1.2, 3).astype(np.float32)
    edges, clearness = [], []
    rows = np.arange(height)[:, None]
    for number in range(layers):
        base = top + (bottom - top) * (number / layers) ** random.uniform(1, 1.8)
        line = _skyline(random, width, base, height * random.uniform(0.005, 0.07))
        clear = float(np.exp(-haze * (layers - 1 - number)))
        tone = soil * np.float32(random.uniform(0.7, 1.25))
        below = rows > line
        canvas[below] = airlight + (tone - airlight) * np.float32(clear)
        near = (number + 1) / layers
        _texture(
            random, canvas, below, clear * random.uniform(4, 14) * near, finer=2.5 - 1.5 * near
        )
        _leaves(random, canvas, below, clear * random.uniform(10, 38), near)
        depth[below] = number + 1
        edges.append(line)
        clearness.append(clear)
    lines = np.asarray(edges, np.float32)
    return Backdrop(canvas, depth, layers, lines, airlight, tuple(clearness), is_open=True)


def _yard(random: np.random.Generator, width: int, height: int) -> Backdrop:
    """Ground before a sky; now and then a wall or a hedge stands between."""
    canvas, airlight = _sky(random, width, height)
    line = _skyline(random, width, height * random.uniform(0.4, 0.8), height * 0.02)
    below = np.arange(height)[:, None] > line
    canvas[below] = _tint(random, 45, 175, 0.12)
    _texture(random, canvas, below, random.uniform(3, 10))
    _leaves(random, canvas, below, random.uniform(0, 25), 1)
    if random.random() < 0.3:
        behind = canvas[: int(line.min())][-height // 4 :]
        if behind.size:
            behind[...] = _tint(random, 50, 200, 0.15)
            _panel(random, behind, random.uniform(3, 14))
    return Backdrop(canvas, below.astype(np.uint8), 1, line[None], airlight, (1.0,), is_open=False)


def _sky(random: np.random.Generator, width: int, height: int) -> tuple[Float, Float]:
    """Blue, hazy, grey or dusk, brighter towards the horizon; and the airlight there."""
    zenith, horizon = (
        ((205, 120, 55), (235, 205, 165)),
        ((185, 160, 125), (215, 212, 200)),
        ((175, 170, 165), (215, 213, 210)),
        ((120, 105, 105), (150, 180, 225)),
    )[int(random.choice(4, p=[0.45, 0.25, 0.2, 0.1]))]
    shine = random.uniform(0.55, 1.1)
    above, light = np.array(zenith, "f4") * shine, np.minimum(np.array(horizon, "f4") * shine, 252)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** random.uniform(0.8, 2.5)
    canvas = np.broadcast_to(above + (light - above) * down, (height, width, 3)).copy()
    return canvas, light.astype(np.float32)


def _skyline(random: np.random.Generator, width: int, base: float, swing: float) -> Float:
    left, top = random.uniform(0, 512, 2)
    soft = window((1, width), left, top, random.uniform(60, 160) / width, layer=SOFT)[0]
    rough = window((1, width), left, top, random.uniform(60, 250) / width, layer=2)[0]
    return np.asarray(base + swing * (soft + 0.12 * rough), np.float32)


def _texture(
    random: np.random.Generator,
    canvas: Float,
    where: NDArray[np.bool_],
    strength: float,
    finer: float = 1,
) -> None:
    """Rough and smooth unevenness added to the canvas where asked."""
    shape, size = canvas.shape[:2], min(canvas.shape[:2])
    left, top = random.uniform(0, 512, 2)
    flat = random.uniform(1, 2.5)
    scale = random.uniform(80, 400) * finer / size
    uneven = window(shape, left, top, scale, layer=int(random.integers(SOFT)), flat=flat)
    left, top = random.uniform(0, 512, 2)
    uneven += 0.7 * window(shape, left, top, 150 / size, layer=SOFT + 1, flat=flat)
    canvas += (uneven * where)[..., None] * np.float32(strength)


def _leaves(
    random: np.random.Generator,
    canvas: Float,
    where: NDArray[np.bool_],
    strength: float,
    near: float,
) -> None:
    """Bushes, stones and what grows in patches, larger where the land is near.

    Pixels of real land resemble their neighbours at every scale: specks that do not are taken for
    noise by a network, and land for smoke.
    """
    size, far = min(where.shape), 1.6 - near
    left, top = random.uniform(0, 512, 2)
    scale = 256 / size * random.uniform(0.2, 0.7) * far
    specks = window(where.shape, left, top, scale, layer=GRAIN, flat=random.uniform(1, 2))
    if random.random() < 0.4:
        specks += 2 * np.maximum(specks - 1.7, 0)  # stones shine
    left, top = random.uniform(0, 512, 2)
    scale = random.uniform(40, 250) / size * far
    grown = window(where.shape, left, top, scale, layer=SOFT - 2, flat=random.uniform(1, 3.5))
    patches = np.tanh(grown * random.uniform(0.8, 4))
    share = random.uniform(0.2, 0.8)
    tint = random.uniform(0.6, 1.3, 3) * strength
    canvas += (specks * where)[..., None] * np.float32(strength * (1.25 - share))
    canvas += (patches * where)[..., None] * (tint * share * 1.9).astype(np.float32)


def _panel(random: np.random.Generator, canvas: Float, strength: float) -> None:
    """Wall panels, bricks, windows or steps: straight edges that are no machine."""
    height, width = canvas.shape[:2]
    across, down = int(random.integers(2, 14)), int(random.integers(2, 14))
    levels = random.standard_normal((down, across)) * strength * random.uniform(0.1, 1)
    rows, columns = np.arange(height) * down // height, np.arange(width) * across // width
    panels = levels[rows][:, columns].astype(np.float32)
    panels[:, np.flatnonzero(np.diff(columns))] -= random.uniform(0, 1.5) * strength
    panels[np.flatnonzero(np.diff(rows))] -= random.uniform(0, 1.5) * strength
    top = int(height * random.uniform(0, 0.5))
    canvas[top:] += panels[top:, :, None]


def _ramp(first: Float, last: Float, width: int, height: int) -> Float:
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ramp = first + (last - first) * rows
    return np.array(np.broadcast_to(ramp, (height, width, len(first))), np.float32)


def _tint(random: np.random.Generator, low: float, high: float, spread: float) -> Float:
    colour = random.uniform(low, high) * random.uniform(1 - spread, 1 + spread, 3)
    return np.clip(colour, 0, 255).astype(np.float32)
