"""Small pictures, small networks, one thread: the machine is shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from gasedge.cli import main
from train.networks.frame_network import FrameNetwork
from train.networks.registry import build_network

if TYPE_CHECKING:
    from pathlib import Path

TINY = """
[[simulated]]
kind = "gas"
scenes = 8
frames = 1
[input]
width = 64
height = 64
[learning]
epochs = {epochs}
batch = 2
rate = 2e-3
precision = "fp32"
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> FrameNetwork:
    """The default network, untrained."""
    torch.manual_seed(0)
    return FrameNetwork(build_network("unet-resnet18")).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Sixteen frames of 32x64, uint8 BGR, that no network takes for noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (16, 4, 8, 3), np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=1).repeat(8, axis=2))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A finished training of two epochs."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(TINY.format(epochs=2))
    assert main(["-q", "train", str(folder / "tiny.toml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def smoke_folder(tmp_path: Path) -> Path:
    """Twelve pictures of 64x48 in six groups, binary masks."""
    random = np.random.default_rng(1)
    folder = tmp_path / "smoke"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["image,scene_group"]
    for at in range(12):
        picture = random.integers(0, 90, (48, 64, 3), np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        left, top = random.integers(4, 30, 2)
        mask[top : top + 14, left : left + 20] = 255
        picture[mask > 0] += 150
        cv2.imwrite(str(folder / "images" / f"p{at:02d}.png"), picture)
        cv2.imwrite(str(folder / "masks" / f"p{at:02d}.png"), mask)
        rows.append(f"p{at:02d}.png,{at // 2}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder
