"""U-Net with a ResNet-18 encoder: the study's network, two with thinner decoders, a shallower one.

`unet-resnet18` has 14.3 million parameters and halves the picture five times. More than half of its
work is its decoder's: `-slim` has half the channels there, `-thin` a quarter, and neither fewer
than 16, below which INT8 kernels waste what they save. docs/jetson.md has what that spares.
`unet-resnet18-layer3` ends at the encoder's third stage, at a sixteenth of the picture: 3.6 million
parameters, 3.6 MB at INT8, and every tensor of its encoder is in a file that lacks the fourth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.label_map import CLASSES
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

__all__ = ["NETWORKS"]

_LAYER3_DEPTH = 4  # halvings up to and with layer3

# Decoder channels at 1/16, 1/8, 1/4, 1/2 and all of the picture's size.
_WHOLE = (256, 128, 64, 32, 16)
_SLIM = (128, 64, 32, 16, 16)
_THIN = (64, 32, 16, 16, 16)


def _five_halvings(decoder_channels: tuple[int, ...]) -> nn.Module:
    smp = need("segmentation_models_pytorch", extra="train")
    core: nn.Module = smp.Unet(
        encoder_name="resnet18",
        encoder_weights=None,
        decoder_channels=decoder_channels,
        in_channels=3,
        classes=len(CLASSES),
    )
    return core


def _whole() -> nn.Module:
    return _five_halvings(_WHOLE)


def _slim() -> nn.Module:
    return _five_halvings(_SLIM)


def _thin() -> nn.Module:
    return _five_halvings(_THIN)


def _layer3(decoder_channels: Sequence[int] = (128, 64, 32, 16)) -> nn.Module:
    """Build it; `decoder_channels` are those at 1/8, 1/4, 1/2 and all of the picture's size."""
    smp = need("segmentation_models_pytorch", extra="train")
    core: nn.Module = smp.Unet(
        encoder_name="resnet18",
        encoder_depth=_LAYER3_DEPTH,
        encoder_weights=None,
        decoder_channels=tuple(decoder_channels),
        in_channels=3,
        classes=len(CLASSES),
    )
    # never run at this depth, but built all the same: 8.4 million parameters of nothing
    del core.get_submodule("encoder").layer4
    return core


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet-resnet18": _whole,
    "unet-resnet18-layer3": _layer3,
    "unet-resnet18-slim": _slim,
    "unet-resnet18-thin": _thin,
}
