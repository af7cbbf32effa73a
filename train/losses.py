"""Cross-entropy and Dice on masks that may ignore pixels or not label machines.

Where a data set does not label machines, its background means "background or machine": their
probabilities are added before they are compared with the truth, so that finding a machine there is
neither rewarded nor punished, while gas is learned from every picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE, MACHINE

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["segmentation_loss"]

_SMOOTH = 10.0  # pixels; keeps Dice of an absent class defined


def segmentation_loss(
    logits: Tensor,
    truth: Tensor,
    machines_known: Tensor,
    *,
    dice_weight: float,
    gas_weight: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy plus `dice_weight` times the mean soft Dice loss of gas and machines.

    Dice is taken in each picture by itself, so a plume of fifty pixels counts as much as one that
    fills the frame, and false gas in a picture without any counts as much as a missed leak.

    Args:
        logits: (N, classes, H, W) float.
        truth: (N, H, W) uint8 class indices; IGNORE pixels count nowhere.
        machines_known: (N,) bool; whether a picture's background is known to be no machine.
        dice_weight: 0 leaves cross-entropy alone.
        gas_weight: of a gas pixel in the cross-entropy, against 1 of any other.
        weights: (N, H, W) uint8, how far each pixel of the truth is trusted, 255 is fully; it
            multiplies the pixel's part in both losses. None trusts all.
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    either = torch.logsumexp(log_p[:, [BACKGROUND, MACHINE]], dim=1)
    background = torch.where(machines_known[:, None, None], log_p[:, BACKGROUND], either)
    by_class = [background, log_p[:, GAS_SMOKE], log_p[:, MACHINE]]
    trusted = (truth != IGNORE).float()
    if weights is not None:
        trusted = trusted * (weights.float() / 255)
    entropy, total = log_p.new_zeros(()), log_p.new_zeros(())
    dice: list[Tensor] = []
    for each in CLASSES:
        of_class = by_class[each.index]
        here = (truth == each.index) * trusted
        weight = gas_weight if each.index == GAS_SMOKE else 1.0
        entropy = entropy - weight * (of_class * here).sum()
        total = total + weight * here.sum()
        if each.index == BACKGROUND:
            continue  # fills almost every picture: its Dice says nothing
        share = of_class.exp()
        overlap = 2 * (share * here).sum(dim=(1, 2)) + _SMOOTH
        share = share * trusted
        loss = 1 - overlap / (share.sum(dim=(1, 2)) + here.sum(dim=(1, 2)) + _SMOOTH)
        dice.append(loss[machines_known] if each.index == MACHINE else loss)
    return entropy / total.clamp(min=1) + dice_weight * torch.cat(dice).mean()
