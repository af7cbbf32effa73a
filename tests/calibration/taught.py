"""A small network that has learnt to see soft plumes and hard boxes, so INT8 has something to lose.

Random weights would not do: they amplify every rounding, and nothing could be told apart by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import GAS_SMOKE, MACHINE
from tests.bundles import TINY

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.bundle import Bundle

_STEPS, _BATCH = 48, 8


def scenes(count: int, *, seed: int, thin: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(count, 64, 64, 3) BGR pictures and (count, 64, 64) class indices.

    The last `thin` of them show plumes of a fifth of the usual area.
    """
    random = np.random.default_rng(seed)
    size = TINY.width
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    pictures, masks = [], []
    for at in range(count):
        x, y, spread = *random.uniform(0.2, 0.8, 2), random.uniform(0.08, 0.16)
        spread *= 0.45 if at >= count - thin else 1
        plume = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        ground = random.uniform(50, 90) + 60 * (rows * random.uniform(-1, 1) + columns)
        picture = ground + random.uniform(80, 130) * plume
        mask = np.where(plume > 0.35, GAS_SMOKE, 0).astype(np.uint8)
        left, top = random.integers(0, size * 5 // 8, 2)
        box = (slice(top, top + size // 4), slice(left, left + size // 3))
        picture[box], mask[box] = random.uniform(5, 30), MACHINE
        picture = picture[..., None] + random.normal(0, 3, (size, size, 3))
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(pictures), np.stack(masks)


def make_taught_bundle(out: Path) -> Bundle:
    """Teach the tiny network and export it."""
    import torch
    from torch.nn.functional import cross_entropy

    from export.bundle import bundle_from_network
    from tests.bundles import tiny_network

    network = tiny_network()
    pictures, masks = (torch.from_numpy(each) for each in scenes(_STEPS * _BATCH, seed=1))
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for start in range(0, len(pictures), _BATCH):
        part = slice(start, start + _BATCH)
        loss = cross_entropy(network(pictures[part]), masks[part].long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    return bundle_from_network(
        network,
        TINY,
        out,
        model_id="taught",
        training={"steps": _STEPS, "data": "plumes and boxes"},
        golden_frames=list(scenes(6, seed=2)[0]),
    )
