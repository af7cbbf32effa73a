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

_SMOOTH = 1.0  # pixels; keeps Dice of an absent class defined


def segmentation_loss(
    logits: Tensor, truth: Tensor, machines_labelled: Tensor, *, dice_weight: float
) -> Tensor:
    """Mean cross-entropy plus `dice_weight` times the mean soft Dice loss, pooled over the batch.

    Args:
        logits: (N, classes, H, W) float.
        truth: (N, H, W) uint8 class indices; IGNORE pixels count nowhere.
        machines_labelled: (N,) bool; whether the picture's truth tells machines from background.
        dice_weight: 0 leaves cross-entropy alone.
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    unlabelled = ~machines_labelled[:, None, None]
    either = torch.logsumexp(log_p[:, [BACKGROUND, MACHINE]], dim=1)
    background = torch.where(unlabelled, either, log_p[:, BACKGROUND])
    by_class = [background, log_p[:, GAS_SMOKE], log_p[:, MACHINE]]
    counted = truth != IGNORE
    n_counted = counted.sum().clamp(min=1)
    entropy = log_p.new_zeros(())
    dice: list[Tensor] = []
    for each in CLASSES:
        of_class = by_class[each.index]
        here = (truth == each.index).float()
        entropy = entropy - (of_class * here).sum()
        valid = counted & machines_labelled[:, None, None] if each.index == MACHINE else counted
        share = of_class.exp() * valid
        overlap = 2 * (share * here).sum() + _SMOOTH
        dice.append(1 - overlap / (share.sum() + here.sum() + _SMOOTH))
    return entropy / n_counted + dice_weight * torch.stack(dice).mean()
