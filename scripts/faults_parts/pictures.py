"""What the cameras of a rig show: machines and a sensor's noise, and at times something bright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["HEIGHT", "WIDTH", "clip", "picture_of"]

WIDTH, HEIGHT = 128, 96
_NOISE = 3.0
_CLIP = 70  # pictures; the second half has gas


def picture_of(number: int, *, gas: bool = False) -> NDArray[np.uint8]:
    """One (HEIGHT, WIDTH, 3) picture of the scene; each has a noise of its own."""
    dice = np.random.default_rng(7)
    blocks = dice.uniform(60, 150, (6, 8)).repeat(16, axis=0).repeat(16, axis=1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    grey = blocks + 10 * np.sin(columns / 3.0) * np.cos(rows / 4.0)
    if gas:
        x, y = WIDTH * 0.5 + 12 * np.sin(number), HEIGHT * 0.5 + 9 * np.cos(1.7 * number)
        grey += 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 12.0**2))
    grey = grey + np.random.default_rng(number).normal(0, _NOISE, grey.shape)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def clip(folder: Path, *, gas: bool) -> Path:
    """A folder of pictures for a camera that replays them; `gas` comes and goes."""
    cv2 = need("cv2", extra="cpu")
    folder.mkdir()
    for number in range(_CLIP):
        picture = picture_of(number, gas=gas and number >= _CLIP // 2)
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return folder
