"""A tiny real bundle for every room's tests: a 64x64 U-Net with ResNet blocks and random weights.

It is exported by the real exporter. Its weights are seeded and its head is centred on a few seeded
pictures, so that every class occurs in its masks; it knows nothing of gas.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.geometry import InputGeometry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from contract.bundle import Bundle

_HERE = Path(__file__)
_ROOT = _HERE.parent.parent
_NETWORK = _ROOT / "train/networks/frame_network.py"
_KEPT_S = 24 * 3600.0  # another test run may still read an older one
TINY = InputGeometry(width=64, height=64)


def tiny_pictures(count: int = 4, *, seed: int = 7, size: int = 64) -> NDArray[np.uint8]:
    """(count, size, size, 3) BGR pictures: a shaded ground, a soft light plume, a hard dark box."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size
    pictures = []
    for _ in range(count):
        x, y, spread = random.uniform(0.25, 0.75), random.uniform(0.25, 0.75), 0.12
        plume = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        picture = 70 + 60 * rows + 110 * plume + random.normal(0, 3, (size, size))
        left, top = random.integers(0, size * 5 // 8, 2)
        picture[top : top + size // 4, left : left + size // 3] = random.uniform(5, 35)
        pictures.append(np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return np.stack(pictures)


def tiny_network(seed: int = 0) -> nn.Module:
    """uint8 (N, H, W, 3) BGR -> logits (N, 3, H, W); `core` is a shallow smp.Unet of ResNet-18."""
    import segmentation_models_pytorch as smp
    import torch

    from train.networks.frame_network import FrameNetwork

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        core = smp.Unet(
            "resnet18",
            encoder_weights=None,
            encoder_depth=3,
            decoder_channels=(32, 16, 16),
            classes=3,
        )
        network = FrameNetwork(core, mean=(110,) * 3, std=(55,) * 3)
        centre_head(network, seed=seed)
    return network


def centre_head(network: nn.Module, *, seed: int = 0) -> None:
    """Let every class occur in the masks of a smp.Unet with random weights; in eval mode then."""
    import torch

    with torch.no_grad():
        pictures = torch.from_numpy(tiny_pictures(8, seed=seed + 1))
        network.train()  # batch normalisation takes its statistics from these pictures
        for _ in range(12):
            network(pictures)
        network.eval()
        head = network.core.segmentation_head[0]
        logits = network(pictures)
        spread, centre = logits.std((0, 2, 3)), logits.mean((0, 2, 3))
        gain = 3 / spread
        head.weight.mul_(gain.view(-1, 1, 1, 1))
        head.bias.sub_(centre).mul_(gain)


def make_tiny_bundle(out: Path) -> Bundle:
    """Export the tiny network to `out`, `<name>.gasedge`, with FP32 and FP16 graphs; signed."""
    from export.bundle import bundle_from_network
    from tests.signing import sign

    made = bundle_from_network(
        tiny_network(),
        TINY,
        out,
        model_id="tiny",
        training={"weights": "random, for tests"},
        golden_frames=list(tiny_pictures()),
    )
    return sign(made.path)


def kept_tiny_bundle(folder: Path) -> Path:
    """The tiny bundle in `folder`, exported anew when anything that makes it has changed."""
    import torch

    makers = hashlib.sha256()
    for source in sorted(
        [
            *_ROOT.glob("export/*.py"),
            _ROOT / "contract/manifest.py",
            _NETWORK,
            _HERE,
            _HERE.with_name("signing.py"),
        ]
    ):
        makers.update(source.read_bytes())
    for package in ("torch", "onnx", "onnxscript", "onnxruntime", "segmentation-models-pytorch"):
        makers.update(importlib.metadata.version(package).encode())
    kept = folder / f"tiny-{makers.hexdigest()[:16]}.gasedge"
    if not kept.exists():
        for old in folder.glob("tiny-*.gasedge"):
            if time.time() - old.stat().st_mtime > _KEPT_S:
                shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder) as making:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # on a busy machine threads that wait for each other crawl
            try:
                made = make_tiny_bundle(Path(making) / kept.name).path
            finally:
                torch.set_num_threads(threads)
            with contextlib.suppress(OSError):  # another worker was first
                made.rename(kept)
    return kept
