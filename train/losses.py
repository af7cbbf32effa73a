"""The loss of each final activation, on masks that may ignore pixels or not label machines.

* softmax: cross-entropy and Dice;
* sigmoid: binary cross-entropy of each class by itself, and Dice;
* linear: squared distance to 1 for the pixel's class and 0 for the others. A linear output has no
  logarithm and no overlap, so neither of the losses above exists for it; regression onto 0 and 1 is
  the loss that a linear output has, and makes it estimate the probability. The study that compared
  the three does not say which loss it gave its linear network.

Where a data set does not label machines, its background means "background or machine": what the
network says of the two is joined before it is compared with the truth, so that finding a machine
there is neither rewarded nor punished, while gas is learned from every picture. Joined is the sum
of their softmax or linear outputs, and 1 - (1 - p)(1 - q) of their sigmoids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE, MACHINE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from train.networks.frame_network import Activation

__all__ = ["segmentation_loss"]

_SMOOTH = 10.0  # pixels; keeps Dice of an absent class defined
_LEAST = 1e-6  # of a probability, before its logarithm is taken


def segmentation_loss(
    logits: Tensor,
    truth: Tensor,
    machines_known: Tensor,
    *,
    dice_weight: float,
    gas_weight: float,
    weights: Tensor | None = None,
    activation: Activation = "softmax",
    shared: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Mean pixel loss, plus `dice_weight` times the mean soft Dice loss of gas and machines.

    Dice is taken in each picture by itself, so a plume of fifty pixels counts as much as one that
    fills the frame, and false gas in a picture without any counts as much as a missed leak. The
    linear activation has no Dice.

    Args:
        logits: (N, classes, H, W) float.
        truth: (N, H, W) uint8 class indices; IGNORE pixels count nowhere.
        machines_known: (N,) bool; whether a picture's background is known to be no machine.
        dice_weight: 0 leaves the pixel loss alone.
        gas_weight: of a gas pixel in the pixel loss, against 1 of any other.
        weights: (N, H, W) uint8, how far each pixel of the truth is trusted, 255 is fully; it
            multiplies the pixel's part in both losses. None trusts all.
        activation: of the network.
        shared: mean of a tensor over all processes that share this batch; None where there is one.
            Both means are then over the whole batch: the mean of the processes' losses is the loss
            that one process has on it.
    """
    trusted = (truth != IGNORE).float()
    if weights is not None:
        trusted = trusted * (weights.float() / 255)
    joined = (truth == BACKGROUND) & ~machines_known[:, None, None]
    cost, share = _PIXEL_LOSSES[activation](logits.float(), truth, joined)
    weight = trusted * torch.where(truth == GAS_SMOKE, gas_weight, 1.0)
    total = weight.sum()
    if share is None:
        return (cost * weight).sum() / (shared(total) if shared else total).clamp(min=1)
    dice: list[Tensor] = []
    for index in (GAS_SMOKE, MACHINE):  # background fills almost every picture: no use in its Dice
        found, here = share[index] * trusted, (truth == index) * trusted
        overlap = 2 * (share[index] * here).sum(dim=(1, 2)) + _SMOOTH
        both = found.sum(dim=(1, 2)) + here.sum(dim=(1, 2)) + _SMOOTH
        loss = 1 - overlap / both
        dice.append(loss[machines_known] if index == MACHINE else loss)
    of_picture = torch.cat(dice)
    counts = torch.stack([total, total.new_tensor(of_picture.numel())])
    if shared:
        counts = shared(counts)
    pixels = (cost * weight).sum() / counts[0].clamp(min=1)
    return pixels + dice_weight * of_picture.sum() / counts[1]


def _softmax(logits: Tensor, truth: Tensor, joined: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Give the cost of each pixel (N, H, W), and each class's share of it as (N, H, W)."""
    log_p = functional.log_softmax(logits, dim=1).unbind(1)
    either = torch.logaddexp(log_p[BACKGROUND], log_p[MACHINE])
    return -torch.where(joined, either, _of_truth(log_p, truth)), [each.exp() for each in log_p]


def _sigmoid(logits: Tensor, truth: Tensor, joined: Tensor) -> tuple[Tensor, list[Tensor]]:
    by_class = logits.unbind(1)
    absent = [functional.logsigmoid(-each) for each in by_class]  # log(1 - p)
    # log(p) - log(1 - p) is the logit
    entropy = -sum(absent, _of_truth(by_class, truth))
    neither = absent[BACKGROUND] + absent[MACHINE]
    either = torch.log(-torch.expm1(neither.clamp(max=-_LEAST)))
    cost = torch.where(joined, -either - absent[GAS_SMOKE], entropy)
    return cost / len(CLASSES), [each.sigmoid() for each in by_class]


def _linear(logits: Tensor, truth: Tensor, joined: Tensor) -> tuple[Tensor, None]:
    by_class = logits.unbind(1)
    square = sum((each**2 for each in by_class), 1 - 2 * _of_truth(by_class, truth))
    either = (by_class[BACKGROUND] + by_class[MACHINE] - 1) ** 2
    cost = torch.where(joined, either + by_class[GAS_SMOKE] ** 2, square)
    return cost / len(CLASSES), None


def _of_truth(by_class: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Pick each pixel's value of its true class; ignored pixels give that of class 0."""
    found = by_class[0]
    for each in CLASSES[1:]:  # faster on a CPU, there and back, than to gather
        found = torch.where(truth == each.index, by_class[each.index], found)
    return found


_PIXEL_LOSSES = {"softmax": _softmax, "sigmoid": _sigmoid, "linear": _linear}
