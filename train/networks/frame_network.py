"""The network as the device will use it: camera bytes in, normalisation inside, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import nn

from contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IMAGENET_MEAN_BGR", "IMAGENET_STD_BGR", "Activation", "FrameNetwork"]

Activation = Literal["softmax", "sigmoid", "linear"]

IMAGENET_MEAN_BGR = (103.53, 116.28, 123.675)
IMAGENET_STD_BGR = (57.375, 57.12, 58.395)


class FrameNetwork(nn.Module):
    """Normalises uint8 BGR frames and runs the core on them.

    The core sees BGR: weights that were learned on RGB have their first convolution turned round
    when they are filled in (`train.networks.initial_weights`), which costs nothing at run time.

    Args:
        core: takes float (N, 3, H, W), gives logits (N, classes, H, W). It may name the
            `activations` that make sense of them.
        mean: of each channel in BGR order, 0..255.
        std: as `mean`.
        activation: what turns logits into probabilities; the network was taught with its loss.

    Raises:
        ConfigError: when the core's logits cannot be read with that activation.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        core: nn.Module,
        mean: Sequence[float] = IMAGENET_MEAN_BGR,
        std: Sequence[float] = IMAGENET_STD_BGR,
        *,
        activation: Activation = "softmax",
    ) -> None:
        super().__init__()
        allowed = getattr(core, "activations", get_args(Activation))
        if activation not in allowed:
            raise ConfigError(f"this network ends in {' or '.join(allowed)}, not in {activation!r}")
        self.core = core
        self.activation: Activation = activation
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Give logits (N, classes, H, W) for uint8 frames (N, H, W, 3) BGR."""
        # float comes before the permute: TensorRT refuses to transpose uint8
        normalised = (frames.float() - self.mean) / self.std
        logits: torch.Tensor = self.core(normalised.permute(0, 3, 1, 2))
        return logits

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the probability of each class, 0..1, for logits (N, classes, H, W).

        Of a sigmoid each class has its own, and they need not sum to 1. A linear output was
        regressed onto 0 and 1, so it estimates the probability itself, but may leave its range.
        The mask is the class of the largest logit with all three.
        """
        if self.activation == "softmax":
            return logits.softmax(1)
        return logits.sigmoid() if self.activation == "sigmoid" else logits.clamp(0, 1)
