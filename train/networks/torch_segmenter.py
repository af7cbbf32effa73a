"""A checkpoint as a `Segmenter`: scored by the code that scores bundles and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from contract.closing import Closing
from contract.label_map import GAS_SMOKE
from contract.segmenter import Segmentation, check_frames
from train.networks.checkpoint import network_from_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.geometry import InputGeometry
    from train.networks.checkpoint import LoadedNetwork

__all__ = ["TorchSegmenter"]


class TorchSegmenter(Closing):
    """Runs a trained network in torch, in FP32.

    Args:
        loaded: the network and its input geometry.
        device: torch device, "cpu" or "cuda".
    """

    def __init__(self, loaded: LoadedNetwork, *, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._network = loaded.network.to(self._device).eval()
        self._geometry = loaded.geometry
        self.model_id = loaded.model_id

    @classmethod
    def from_checkpoint(cls, path: Path) -> Self:
        """Load a checkpoint, on the GPU where torch sees one.

        Raises:
            InputError: when the checkpoint cannot be used.
        """
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(network_from_checkpoint(path), device=device)

    @property
    def name(self) -> str:
        """Runtime, version and device."""
        return f"torch {torch.__version__} fp32 on {self._device}"

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        return self._geometry

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames.

        Raises:
            EngineError: when the frames do not fit.
        """
        check_frames(frames, self._geometry)
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(frames.copy()).to(self._device)).float()
            gas = (self._network.probabilities(logits)[:, GAS_SMOKE] * 255).round()
            mask = logits.argmax(1).to(torch.uint8).cpu().numpy()
            return Segmentation(mask=mask, score=gas.to(torch.uint8).cpu().numpy())

    def close(self) -> None:
        """Torch frees the network with its last reference."""
