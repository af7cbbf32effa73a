"""The training loop that a person writes first: what `scripts/bench_train` holds ours against.

float32, eager, NCHW, Adam, cross-entropy; pictures are read with cv2 each time and changed by the
same steps as ours, one after another, as libraries of augmentation do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from train.networks.registry import build_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


class PlainFrames(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pictures and masks of a data folder, read and changed one by one."""

    def __init__(self, folder: Path, stems: list[str], geometry: InputGeometry) -> None:
        images = {path.stem: path for path in (folder / "images").iterdir()}
        self._images = [images[stem] for stem in stems]
        self._masks = [folder / "masks" / f"{stem}.png" for stem in stems]
        self._size = (geometry.width, geometry.height)
        self._random = np.random.default_rng(0)
        self._two_values = not (folder / "labels.toml").exists()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give a normalised RGB picture (3, H, W) and its classes (H, W)."""
        picture = cv2.imread(str(self._images[index]))
        mask = cv2.imread(str(self._masks[index]), cv2.IMREAD_GRAYSCALE)
        if self._two_values:
            mask = (mask > 127).astype(np.uint8)
        picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, self._size, interpolation=cv2.INTER_NEAREST)
        picture, mask = self._changed(picture, mask)
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        picture = ((picture - MEAN) / STD).transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(picture)), torch.from_numpy(mask).long()

    def _changed(
        self, picture: NDArray[np.uint8], mask: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        random, (width, height) = self._random, self._size
        if random.random() < 0.5:
            picture, mask = cv2.flip(picture, 1), cv2.flip(mask, 1)
        zoom, angle = random.uniform(0.8, 1.6), random.uniform(-8, 8)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
        matrix[:, 2] += random.uniform(-0.15, 0.15, 2) * self._size
        picture = cv2.warpAffine(picture, matrix, self._size)
        mask = cv2.warpAffine(mask, matrix, self._size, flags=cv2.INTER_NEAREST)
        if random.random() < 0.25:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        if random.random() < 0.15:
            picture = cv2.GaussianBlur(picture, (5, 5), random.uniform(0.4, 1.6))
        if random.random() < 0.15:
            picture = cv2.filter2D(picture, -1, SHARPEN)
        changed = picture.astype(np.float32)
        changed = changed * random.uniform(0.7, 1.3) + random.uniform(-0.15, 0.15) * 255
        changed = 255 * (np.clip(changed, 0, 255) / 255) ** random.uniform(0.7, 1.4)
        changed += random.normal(0, random.uniform(0, 6), changed.shape)
        return np.clip(changed, 0, 255).astype(np.uint8), mask


class PlainTraining:
    """A loop that can be run some steps at a time.

    Args:
        folder: of images and masks.
        stems: to train on.
        geometry: of the frames.
        network: name in our registry: both sides train the same.
        batch: pictures a step.
        workers: processes that load pictures.
    """

    def __init__(
        self,
        folder: Path,
        stems: list[str],
        geometry: InputGeometry,
        *,
        network: str,
        batch: int,
        workers: int,
    ) -> None:
        torch.manual_seed(0)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = build_network(network).to(self._device).train()
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=1e-4)
        self._loader = DataLoader(
            PlainFrames(folder, stems, geometry),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self._batches = iter(self._loader)

    def train(self, steps: int) -> None:
        """Train for `steps`."""
        for _ in range(steps):
            pictures, truth = self._next()
            self._optimizer.zero_grad()
            logits = self._network(pictures.to(self._device))
            loss = torch.nn.functional.cross_entropy(logits, truth.to(self._device))
            loss.backward()
            self._optimizer.step()
            loss.item()

    def _next(self) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            pictures, truth = next(self._batches)
        except StopIteration:
            self._batches = iter(self._loader)
            pictures, truth = next(self._batches)
        return pictures, truth
