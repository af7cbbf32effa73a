"""The U-Net of Ronneberger, Fischer and Brox (2015, arXiv 1505.04597), padded so that sizes stay.

The 2020 study on gas leaks gives its U-Net 31,031,685 parameters. Of the variants one has exactly
that count: one input channel, one output map, biases, no BatchNorm, 64 to 1024 channels, 2 x 2
up-convolutions, and between the last 64 channels and the map a 3 x 3 convolution to two channels.
(Up-convolutions as transposed convolutions or as nearest-neighbour enlargement and a 2 x 2
convolution count the same; here they are transposed, which every runtime knows.) The study's text
says 256 x 256 x 3, which would make it 31,032,837.

`unet-plain-grey-gas` is that variant. It sees the mean of the three channels, so colour frames go
in as they are, and its one map is the logit of gas against background: the logit of background is
0, that of machine far below, so it never names a machine.

`unet-plain` is the same body for the whole label map: three channels in, one logit a class straight
from the last 64 channels as in the paper of 2015; 31,031,875 parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from contract.label_map import CLASSES
from train.networks.he_start import he_start

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NETWORKS"]

_DEPTHS = 5
_NO_MACHINE = -12.0  # a logit; e^-12 is no probability, and finite in FP16


class _Body(nn.Module):
    """The two arms: (N, c, H, W) -> (N, 64, H, W), H and W multiples of 16.

    Args:
        channels: of the input.
        width: channels of the first level; each level below has twice as many.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width << depth for depth in range(_DEPTHS)]
        self.down = nn.ModuleList(
            _two_convolutions(a, b) for a, b in zip([channels, *widths], widths, strict=False)
        )
        self.halve = nn.MaxPool2d(2)
        # after the two deepest, as the paper drops "at the end of the contracting path"
        self.drop = nn.Dropout(0.5)
        upward = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upward)
        self.up = nn.ModuleList(_two_convolutions(a, b) for a, b in upward)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the features of each pixel."""
        kept: list[torch.Tensor] = []
        features = pixels
        for depth, block in enumerate(self.down):
            features = block(self.halve(features) if depth else features)
            if depth >= len(self.down) - 2:
                features = self.drop(features)
            kept.append(features)
        for enlarge, block, skip in zip(self.enlarge, self.up, kept[-2::-1], strict=True):
            features = block(torch.cat([skip, enlarge(features)], dim=1))
        return features


class _GreyGas(nn.Module):
    """Grey in, one map of gas out, dressed as three logits."""

    activations = ("softmax", "sigmoid")  # of the constant logits beside gas linear makes no sense

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = _Body(1, width)
        self.narrow = nn.Sequential(nn.Conv2d(width, 2, 3, padding=1), nn.ReLU())
        he_start(self)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give logits (N, classes, H, W)."""
        # a mean over the channels, in a form that opset 17 can say
        grey = (pixels[:, :1] + pixels[:, 1:2] + pixels[:, 2:]) / 3
        gas = self.head(self.narrow(self.body(grey)))
        nothing = gas * 0  # and not zeros, which an exported graph would keep for one frame only
        return torch.cat([nothing, gas, nothing + _NO_MACHINE], dim=1)


def _plain(width: int = 64) -> nn.Module:
    body = _Body(3, width)
    he_start(body)
    return nn.Sequential(body, nn.Conv2d(width, len(CLASSES), 1))


def _two_convolutions(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
    )


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet-plain": _plain,
    "unet-plain-grey-gas": _GreyGas,
}
