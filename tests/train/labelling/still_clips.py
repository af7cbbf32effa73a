"""A still camera's clip with a known plume, pipe and boxes, written as frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from contract.label_map import GAS_SMOKE, MACHINE

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 56, 72


@dataclass
class Clip:
    folder: Path
    boxes: Path
    stems: list[str]
    truth: np.ndarray  # (n, h, w)


def still_clip(
    folder: Path,
    frames: int = 40,
    *,
    clear: int = 10,
    brightness: float = 90,
    shake: float = 0,
    gap_at: int | None = None,
    walker: bool = False,
    level: float = 40,
) -> Clip:
    """Puffs drift to the right from the top of a bent pipe; the first `clear` frames have none."""
    random = np.random.default_rng(5)
    images, boxes = folder / "images", folder / "labels"
    for each in (images, boxes):
        each.mkdir(parents=True)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    ground = level + 8 * np.sin(columns / 9) * np.cos(rows / 7) + rows * 0.2
    pipe = (columns >= 14) & (columns < 22) & (rows >= 26)
    pipe |= (rows >= 49) & (rows < 54) & (columns >= 22) & (columns < 64)
    still = np.where(pipe, level + 75, ground)
    stems, truths = [], []
    for at in range(frames):
        truth = np.where(pipe, MACHINE, 0).astype(np.uint8)
        picture = still.copy()
        opacity = np.zeros_like(picture)
        if at >= clear:
            for puff in range(9):
                age = (at * 0.8 + puff * 2.9) % 26
                x, y = 23 + age * 1.2, 23 - age * 0.35 + 2 * np.sin(at * 0.7 + puff)
                size = 2 + age * 0.09
                strength = 0.3 + 0.5 * abs(np.sin(at * 0.31 + puff * 2.3))
                distance = (columns - x) ** 2 + (rows - y) ** 2
                opacity += strength * np.exp(-distance / (2 * size**2))
            opacity = np.minimum(opacity, 0.95)
            picture = picture + opacity * brightness
            truth[opacity > 0.2] = GAS_SMOKE
        if walker:
            left = 4 + at
            picture[38:46, left : left + 5] = 230
        if shake:
            x, y = random.uniform(-shake, shake, 2)
            matrix = np.array([[1, 0, x], [0, 1, y]])
            picture = cv2.warpAffine(
                picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE
            )
            truth = cv2.warpAffine(
                truth,
                matrix,
                (WIDTH, HEIGHT),
                flags=cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_REPLICATE,
            )
        picture = picture + random.standard_normal(picture.shape) * 1.5
        number = at + (1000 if gap_at is not None and at >= gap_at else 0)
        stem = f"frame{number:05d}"
        cv2.imwrite(str(images / f"{stem}.png"), np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        (boxes / f"{stem}.txt").write_text(box_round(truth == GAS_SMOKE))
        stems.append(stem)
        truths.append(truth)
    return Clip(folder, boxes, stems, np.stack(truths))


def box_round(gas: np.ndarray) -> str:
    rows, columns = np.nonzero(gas)
    if not len(rows):
        return ""
    height, width = gas.shape
    top, bottom = rows.min() / height, (rows.max() + 1) / height
    left, right = columns.min() / width, (columns.max() + 1) / width
    return f"0 {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))
