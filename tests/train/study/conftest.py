"""A study's data: two small folders, a network of one convolution, trainings of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from gasedge.cli import main
from train.networks import registry

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[[data]]
path = "smoke"
[[data]]
path = "gas"
[input]
width = 32
height = 32
[split]
near_duplicates = false
[network]
name = "tiny"
[learning]
epochs = 2
batch = 2
rate = 5e-2
precision = "fp32"
"""


class Tiny(torch.nn.Module):
    """Sees colour and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 8, 1)
        self.head = torch.nn.Conv2d(8, 3, 1)

    def forward(self, pixels):
        return self.head(self.encoder(pixels).relu())


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch):
    monkeypatch.setitem(registry.NETWORKS, "tiny", Tiny)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file over two folders of 20 pictures in ten groups."""
    random = np.random.default_rng(4)
    for name in ("smoke", "gas"):
        folder, rows = tmp_path / name, ["image,group"]
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        for at in range(20):
            mask = np.zeros((32, 32), np.uint8)
            left, top = random.integers(2, 16, 2)
            mask[top : top + 12, left : left + 12] = 255
            # so noisy that colour alone cannot tell
            picture = random.integers(0, 150, (32, 32, 3), np.uint8)
            picture[mask > 0] += 100 if name == "smoke" else 80
            cv2.imwrite(str(folder / "images" / f"{name}{at:02d}.png"), picture)
            cv2.imwrite(str(folder / "masks" / f"{name}{at:02d}.png"), mask)
            rows.append(f"{name}{at:02d},{at // 2}")
        (folder / "index.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "base.toml").write_text(CONFIG)
    return tmp_path / "base.toml"


@pytest.fixture
def study(tmp_path):
    """Run a study into `tmp_path/out` and give that folder."""

    def run(*words: object, code: int = 0) -> Path:
        out = tmp_path / "out"
        assert main(["-q", "study", *map(str, words), "--out", str(out)]) == code
        return out

    return run
