"""A random start for networks without BatchNorm, whose signal would fade on its way otherwise."""

from __future__ import annotations

from torch import nn

__all__ = ["he_start"]


def he_start(network: nn.Module) -> None:
    """Draw the weights of every convolution that a ReLU follows (He et al. 2015, arXiv 1502.01852).

    Args:
        network: changed in place; biases become 0.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
