"""Fill an encoder from a local file of pretrained weights, completely or in part, and say what.

The file has the key names of torchvision's ResNet (`conv1.weight`, `layer1.0.bn1.bias`, ...), as
.npz, .safetensors or a .pt/.pth state dict, learned on RGB scaled to 0..1 with ImageNet's mean and
standard deviation.

BatchNorm may have been folded into the convolutions (weight 1, mean 0, variance 1). Training would
then normalise by the batch and lose the scale that the convolution carries, so the statistics of
real frames are measured once and laid into the BatchNorm such that it still changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from contract.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from train.networks.frame_network import FrameNetwork

__all__ = ["FilledWeights", "fill_encoder"]

_SUFFIXES = (".npz", ".safetensors", ".pt", ".pth")
_NO_CONVOLUTION = ("num_batches_tracked",)


@dataclass(frozen=True, slots=True)
class FilledWeights:
    """Which tensors of the encoder came from the file."""

    filled: tuple[str, ...]
    random: tuple[str, ...]  # keep their random start
    unused: tuple[str, ...]  # in the file, with no place in the encoder
    unfolded: tuple[str, ...]  # BatchNorm layers whose statistics were measured

    @property
    def summary(self) -> str:
        """One line for the log and the model's papers."""
        total = len(self.filled) + len(self.random)
        start = f"; random start: {', '.join(self.random)}" if self.random else ""
        return f"{len(self.filled)} of {total} encoder tensors filled{start}"


def fill_encoder(network: FrameNetwork, path: Path, frames: torch.Tensor) -> FilledWeights:
    """Fill `network.core.encoder` from a file.

    Args:
        network: changed in place.
        path: .npz, .safetensors, .pt or .pth.
        frames: (N, H, W, 3) uint8 training frames, to measure folded BatchNorms on; N >= 16.

    Raises:
        ConfigError: when there is no file at `path` or its kind is unknown.
        InputError: when it cannot be read, a shape differs or nothing fits.
    """
    encoder = network.core.encoder
    if not isinstance(encoder, nn.Module):
        raise ConfigError(f"{path}: this network has no encoder to fill")
    source = _read(path)
    target = {k: v for k, v in encoder.state_dict().items() if not k.endswith(_NO_CONVOLUTION)}
    filled: dict[str, torch.Tensor] = {}
    for key, old in target.items():
        convolution = _convolution_of(key)
        if key not in source or (convolution and convolution not in source):
            continue  # a BatchNorm means nothing without the convolution before it
        new = source[key]
        if new.shape != old.shape:
            raise InputError(
                f"{path}: {key} has shape {tuple(new.shape)}, the encoder wants {tuple(old.shape)}"
            )
        if new.ndim == 4 and new.shape[1] == 3:
            new = new.flip(1)  # learned on RGB, used on BGR
        filled[key] = new.to(old.dtype)
    if not filled:
        raise InputError(f"{path}: holds no tensor named like one of this encoder ({len(source)})")
    encoder.load_state_dict(filled, strict=False)
    folded = _folded_batch_norms(encoder, filled)
    _measure(network, encoder, folded, frames)
    return FilledWeights(
        filled=tuple(sorted(filled)),
        random=tuple(sorted(target.keys() - filled.keys())),
        unused=tuple(sorted(source.keys() - filled.keys())),
        unfolded=tuple(sorted(folded)),
    )


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: weights are read from {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file of initial weights")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        content = content.get("state_dict", content)
        return {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        # each reader raises its own types for a damaged file
        raise InputError(f"{path}: cannot be read as weights ({error})") from error


def _convolution_of(key: str) -> str | None:
    """The convolution that a BatchNorm's tensor belongs to, in torchvision's names."""
    layer, _, _ = key.rpartition(".")
    stem, _, last = layer.rpartition(".")
    prefix = f"{stem}." if stem else ""
    if last.startswith("bn"):
        return f"{prefix}conv{last[2:]}.weight"
    if layer.endswith("downsample.1"):
        return f"{stem}.0.weight"
    return None


def _folded_batch_norms(
    encoder: nn.Module, filled: dict[str, torch.Tensor]
) -> dict[str, nn.BatchNorm2d]:
    folded: dict[str, nn.BatchNorm2d] = {}
    for name, layer in encoder.named_modules():
        if not isinstance(layer, nn.BatchNorm2d) or f"{name}.running_var" not in filled:
            continue
        mean, variance = filled[f"{name}.running_mean"], filled[f"{name}.running_var"]
        weight = filled[f"{name}.weight"]
        ones = ((variance - 1).abs() < 1e-3).all() and (weight == 1).all()
        if ones and (mean == 0).all():
            folded[name] = layer
    return folded


def _measure(
    network: FrameNetwork,
    encoder: nn.Module,
    folded: dict[str, nn.BatchNorm2d],
    frames: torch.Tensor,
) -> None:
    """Give each folded BatchNorm the statistics of its input, changing nothing it puts out.

    Data flow forward, so a layer is measured on what the layers before it, already measured, give.
    """

    def lay(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d)  # noqa: S101 - tells the type checker
        assert layer.running_mean is not None  # noqa: S101 - as above
        assert layer.running_var is not None  # noqa: S101 - as above
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        folded_bias = layer.bias.detach().clone()
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
        layer.weight.copy_((variance + layer.eps).sqrt())
        layer.bias.copy_(folded_bias + mean)

    if not folded:
        return
    hooks = [layer.register_forward_pre_hook(lay) for layer in folded.values()]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            normalised = (frames.float() - network.mean) / network.std
            encoder(normalised.permute(0, 3, 1, 2))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
