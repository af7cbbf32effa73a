"""FCN-AlexNet (Long, Shelhamer and Darrell 2015, arXiv 1411.4038), the study's earlier network.

AlexNet's layers as torchvision has them, its fully connected ones made into convolutions, and a
score of each class at a thirty-second of the picture, enlarged in one step (`fcn-alexnet-32s`), or
in two or three steps with the scores of shallower layers added on the way (`-16s`, `-8s`). The
paper draws these skips from VGG's pool4 and pool3; the layers of AlexNet at the same sixteenth and
eighth of the picture are its second and first pooling.

Paddings are such that the scales meet: a layer at 1/s of the picture has H/s + 1 rows, and their
centres lie on pixels -1, s - 1, 2s - 1, ..., H - 1. The 6 x 6 convolution that was fully connected
has its rows between those of the layer below it, on pixels -17, 15, ..., H + 15. So every pixel
lies between two rows of each layer, and only the row of pixel -1 is cut off in the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from contract.label_map import CLASSES
from train.networks.he_start import he_start

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NETWORKS"]

_POOL2, _POOL1 = 192, 64  # channels of the layers at 1/16 and 1/8


class _AlexNet(nn.Module):
    """(N, 3, H, W) -> the layers at 1/8, 1/16 and 1/32; tensors named as torchvision's AlexNet.

    Args:
        hidden: channels of the layers that were fully connected.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=6),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Conv2d(256, hidden, 6, padding=3),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
        )

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give the layers at 1/8, 1/16 and 1/32."""
        eighth = self.features[:3](pixels)
        sixteenth = self.features[3:6](eighth)
        return eighth, sixteenth, self.classifier(self.features[6:](sixteenth))


class _FcnAlexNet(nn.Module):
    """The network with its skips.

    Args:
        finest: stride of the finest layer that is scored: 32, 16 or 8.
        hidden: as of `_AlexNet`.
    """

    def __init__(self, finest: int, hidden: int = 4096) -> None:
        super().__init__()
        self.encoder = _AlexNet(hidden)
        he_start(self.encoder)
        skips = {32: (), 16: (_POOL2,), 8: (_POOL2, _POOL1)}[finest]
        # from zero, as in the paper: a skip begins by adding nothing
        self.scores = nn.ModuleList(_from_zero(width) for width in (hidden, *skips))
        # the steps between the skips are learned from a bilinear start, the last one stays bilinear
        self.twice = nn.ModuleList(_enlarging(2, padding=2 - at) for at in range(len(skips)))
        # the coarsest rows begin half a step before pixel -1
        self.last = _enlarging(finest, padding=finest - 1 + (0 if skips else finest // 2))
        self.last.requires_grad_(requires_grad=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give logits (N, classes, H, W); H and W are multiples of 32."""
        height, width = pixels.shape[2:]
        eighth, sixteenth, coarse = self.encoder(pixels)
        scores = self.scores[0](coarse)
        for score, twice, layer in zip(
            self.scores[1:], self.twice, (sixteenth, eighth), strict=False
        ):
            scores = twice(scores) + score(layer)
        logits: torch.Tensor = self.last(scores)[:, :, 1 : height + 1, 1 : width + 1]
        return logits


def _from_zero(channels: int) -> nn.Conv2d:
    score = nn.Conv2d(channels, len(CLASSES), 1)
    nn.init.zeros_(score.weight)
    if score.bias is not None:
        nn.init.zeros_(score.bias)
    return score


def _enlarging(times: int, padding: int) -> nn.ConvTranspose2d:
    """Build a bilinear enlargement of each class by itself."""
    count, kernel = len(CLASSES), 2 * times - 1
    layer = nn.ConvTranspose2d(
        count, count, kernel, stride=times, padding=padding, groups=count, bias=False
    )
    tent = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / times
    with torch.no_grad():
        layer.weight.copy_(torch.outer(tent, tent))
    return layer


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    f"fcn-alexnet-{stride}s": partial(_FcnAlexNet, stride) for stride in (32, 16, 8)
}
