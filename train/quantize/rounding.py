"""Fake quantisation as the INT8 graph computes it; the gradient passes straight through.

Steps of activations are given, those of weights follow the largest weight of each channel. All are
numbers that FP16 holds, as in the graph.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from contract.calibrated_ranges import INT8_MAX

__all__ = ["fake_quantized", "fake_quantized_convolution"]

_SMALLEST = float(torch.finfo(torch.float16).tiny)


def fake_quantized(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Round activations to whole steps of `scale` (0-dimensional) between -128 and 127."""
    zero = torch.zeros((), dtype=torch.int32, device=values.device)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, -INT8_MAX - 1, INT8_MAX)


def fake_quantized_convolution(
    values: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    norm: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> torch.Tensor:
    """Convolve with weights that are rounded by output channel.

    Args:
        values: (N, C, H, W), already rounded.
        weight: (O, C / groups, kh, kw), before the normalisation behind it is folded in.
        bias: (O,).
        norm: weight, bias, mean, variance, epsilon of a BatchNorm whose statistics stand still.
        stride: of the convolution, as are the rest.
        padding: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
    """
    if norm is not None:
        gain, shift, mean, variance, epsilon = norm
        factor = gain * (variance + epsilon).rsqrt()
        weight = weight * factor[:, None, None, None]
        bias = shift + ((0 if bias is None else bias) - mean) * factor
    step = weight.detach().abs().amax(dim=(1, 2, 3)) / INT8_MAX
    step = step.clamp(min=_SMALLEST).half().float()
    zeros = torch.zeros_like(step, dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(weight, step, zeros, 0, -INT8_MAX, INT8_MAX)
    return functional.conv2d(values, rounded, bias, stride, padding, dilation, groups)
