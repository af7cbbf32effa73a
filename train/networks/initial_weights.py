"""Fill a network from a local file of weights, completely or in part, and say exactly what.

Two kinds of file are known by their tensors' names:

* weights of an encoder learned elsewhere, on RGB scaled to 0..1 with ImageNet's mean and standard
  deviation: torchvision's names (`conv1.weight`, `layer1.0.bn1.bias`, `features.0.weight`), which
  timm and segmentation-models-pytorch share. They fill `core.encoder`. A fully connected layer
  fills the convolution that stands for it.
* a network of gasedge: a checkpoint, or the state of a run. It fills all of the network, decoder
  and head too: how a network that has learned smoke begins to learn gas.

BatchNorm may have been folded into the convolutions (weight 1, mean 0, variance 1). Training would
then normalise by the batch and lose the scale that the convolution carries, so the statistics of
real frames are measured once and laid into the BatchNorm such that it still changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from contract.errors import InputError
from contract.trained_pictures import TrainedPictures
from train.networks.checkpoint import pictures_of_checkpoint
from train.networks.weight_files import plain_name, read_weights

if TYPE_CHECKING:
    from pathlib import Path

    from train.networks.frame_network import FrameNetwork

__all__ = ["FilledWeights", "fill_network"]

_NO_WEIGHT = "num_batches_tracked"
_ENCODER = "core.encoder."
_NORMALISATION = ("mean", "std")  # that a gasedge network carries and no other


@dataclass(frozen=True, slots=True)
class FilledWeights:
    """Which tensors came from the file; names are the network's, without `core.` and `encoder.`."""

    part: str  # of the network that the file is for: "encoder" or "network"
    filled: tuple[str, ...]
    random: tuple[str, ...]  # of that part; they keep their random start
    unused: tuple[str, ...]  # in the file, with no place in the network
    unfolded: tuple[str, ...]  # BatchNorm layers whose statistics were measured
    pictures: TrainedPictures  # of gas and smoke; an encoder from elsewhere has learned none

    @property
    def summary(self) -> str:
        """One line for the log and the model's papers."""
        total = len(self.filled) + len(self.random)
        start = f"; random start: {', '.join(self.random)}" if self.random else ""
        return f"{len(self.filled)} of {total} {self.part} tensors filled{start}"


def fill_network(network: FrameNetwork, path: Path, frames: torch.Tensor) -> FilledWeights:
    """Fill `network` from a file.

    Args:
        network: changed in place.
        path: of the file, as `read_weights` takes it.
        frames: (N, H, W, 3) uint8 training frames, to measure folded BatchNorms on; N >= 16.

    Raises:
        ConfigError: when there is no file at `path` or its kind is unknown.
        InputError: when it cannot be read, a shape differs or nothing fits.
    """
    source = read_weights(path)
    of_gasedge = set(_NORMALISATION) <= source.keys()
    places = {
        plain_name(key): key
        for key in network.state_dict()
        if not key.endswith(_NO_WEIGHT) and (of_gasedge or key.startswith(_ENCODER))
    }
    state = network.state_dict()
    filled: dict[str, torch.Tensor] = {}
    for name, place in places.items():
        convolution = _convolution_of(name)
        if name not in source or (convolution and convolution not in source):
            continue  # a BatchNorm means nothing without the convolution before it
        new, old = source[name], state[place]
        if new.ndim == 2 and old.ndim == 4 and new.numel() == old.numel():
            new = new.reshape(old.shape)
        if new.shape != old.shape:
            raise InputError(
                f"{path}: {name} has shape {tuple(new.shape)}, this network wants "
                f"{tuple(old.shape)}; give weights of its own kind"
            )
        if not of_gasedge and new.ndim == 4 and new.shape[1] == 3:
            new = new.flip(1)  # learned on RGB, used on BGR
        filled[name] = new.to(old.dtype)
    if not filled:
        what = "network" if of_gasedge or places else "network, which has no encoder to fill"
        raise InputError(f"{path}: none of its {len(source)} tensors is named as in this {what}")
    network.load_state_dict({places[name]: new for name, new in filled.items()}, strict=False)
    folded: dict[str, nn.BatchNorm2d] = {}
    if not of_gasedge:
        folded = _folded_batch_norms(network.core.get_submodule("encoder"), filled)
        _measure(network, folded, frames)
    return FilledWeights(
        part="network" if of_gasedge else "encoder",
        filled=tuple(sorted(filled)),
        random=tuple(sorted(places.keys() - filled.keys())),
        unused=tuple(sorted(n for n in source.keys() - filled.keys() if _NO_WEIGHT not in n)),
        unfolded=tuple(sorted(folded)),
        pictures=pictures_of_checkpoint(path) if of_gasedge else TrainedPictures(complete=True),
    )


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
    network: FrameNetwork, folded: dict[str, nn.BatchNorm2d], frames: torch.Tensor
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
            network.core.get_submodule("encoder")(normalised.permute(0, 3, 1, 2))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
