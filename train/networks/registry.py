"""Networks by name. A core takes normalised (N, 3, H, W) BGR and gives (N, classes, H, W) logits.

Every file in `train/networks/cores` lists what it builds in `NETWORKS`, so adding a network is
adding a file. A checkpoint keeps the name and the options, so a name's meaning is never changed: a
new network gets a new name.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import train.networks.cores
from contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["NETWORKS", "build_network"]


def _discovered() -> dict[str, Callable[..., nn.Module]]:
    found: dict[str, Callable[..., nn.Module]] = {}
    for file in pkgutil.iter_modules(train.networks.cores.__path__):
        module = importlib.import_module(f"{train.networks.cores.__name__}.{file.name}")
        if twice := sorted(found.keys() & module.NETWORKS.keys()):
            raise RuntimeError(f"two files of train/networks/cores build a network {twice[0]!r}")
        found |= module.NETWORKS
    return dict(sorted(found.items()))


NETWORKS = _discovered()


def build_network(name: str, **options: Any) -> nn.Module:
    """Build the core network of a name, with random weights.

    Raises:
        ConfigError: when there is no such network, it has no such option or refuses its value.
    """
    if name not in NETWORKS:
        raise ConfigError(f"there is no network {name!r}; networks are {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**options)
    except (TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"network {name}: {first}") from error
