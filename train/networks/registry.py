"""Networks by name. A core takes normalised (N, 3, H, W) BGR and gives (N, classes, H, W) logits.

Each is a function here; a checkpoint keeps the name and the options, so a name's meaning is never
changed: a new network gets a new name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError
from contract.label_map import CLASSES
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["NETWORKS", "build_network"]


def _unet_resnet18() -> nn.Module:
    smp = need("segmentation_models_pytorch", extra="train")
    core: nn.Module = smp.Unet(
        encoder_name="resnet18", encoder_weights=None, in_channels=3, classes=len(CLASSES)
    )
    return core


NETWORKS: dict[str, Callable[..., nn.Module]] = {"unet-resnet18": _unet_resnet18}


def build_network(name: str, **options: Any) -> nn.Module:
    """Build the core network of a name, with random weights.

    Raises:
        ConfigError: when there is no such network or it has no such option.
    """
    if name not in NETWORKS:
        raise ConfigError(f"there is no network {name!r}; networks are {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**options)
    except TypeError as error:
        raise ConfigError(f"network {name}: {error}") from error
