"""What a trained network thinks of a frame, weighed against what the change says: self-training.

A label of round 0 knows change and boxes only: it cannot tell a puff outside the box from a person,
nor thin gas from a warming wall. A network that has learned from the sure labels can. Both are
taken as probabilities of gas and their odds multiplied, the network's at less than full power:
neighbouring frames made it what it is, so it is no second witness. How much it counts follows from
how well it agrees with what is sure: a network that has learned nothing changes nothing. Where
nothing has changed no network makes gas of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE
from contract.packages import need
from contract.pictures import fit_picture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from contract.segmenter import Segmenter

__all__ = ["NetworkOpinion", "agreement", "with_opinion"]

_POWER = 0.7  # of the network's odds
_SURE = 0.7  # weight of a label that a network is held against
_SUREST = 0.97  # no score counts for more
_UNDECIDED = 0.2  # a weight below it decides nothing
_CHANGED_BACKGROUND = 0.3

Float = NDArray[np.float32]


class NetworkOpinion:
    """A network's gas score in a picture's own pixels.

    Args:
        segmenter: a checkpoint, a bundle or an engine; closed by its owner.
        only: stems that it is asked about; None: all.
    """

    def __init__(self, segmenter: Segmenter, only: Collection[str] | None = None) -> None:
        self._segmenter, self._only = segmenter, only

    def is_asked(self, stem: str) -> bool:
        """Whether this picture's label is to be weighed against the network."""
        return self._only is None or stem in self._only

    def score_of(self, picture: NDArray[np.uint8]) -> Float:
        """Probability of gas, (h, w) 0..1, of a (h, w, 3) BGR picture."""
        cv2 = need("cv2", extra="train")
        geometry = self._segmenter.geometry
        height, width = picture.shape[:2]
        fitted = fit_picture(picture, geometry)
        score = self._segmenter.segment(fitted[None]).score[0][geometry.of(width, height).valid]
        wide = cv2.resize(score, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(wide / 255, np.float32)


def agreement(labels: Iterable[tuple[NDArray[np.uint8], Float, Float]]) -> float:
    """How well a network agrees with what is sure, 0 (as chance) to 1.

    Args:
        labels: mask, weight and score, as of `with_opinion`, of pictures of one run.

    Returns:
        Youden's J over pixels of high weight: the share of gas that the network calls gas, less the
        share of background that it calls gas; 0 where no gas is sure.
    """
    gas = found = clear = wrong = 0
    for mask, weight, score in labels:
        sure = weight >= _SURE
        is_gas, is_clear, called = mask == GAS_SMOKE, mask == BACKGROUND, score >= 0.5
        gas += int((is_gas & sure).sum())
        found += int((is_gas & sure & called).sum())
        clear += int((is_clear & sure).sum())
        wrong += int((is_clear & sure & called).sum())
    if not gas or not clear:
        return 0.0
    return max(0.0, found / gas - wrong / clear)


def with_opinion(
    mask: NDArray[np.uint8], weight: Float, score: Float, trust: float
) -> tuple[NDArray[np.uint8], Float]:
    """Weigh a label of gas or none against a network's score.

    Args:
        mask: (h, w), GAS_SMOKE, BACKGROUND or IGNORE.
        weight: (h, w), 0..1, of each label.
        score: (h, w), 0..1, the network's probability of gas.
        trust: 0..1, the network's `agreement`.

    Returns:
        The new mask and weights.
    """
    side = np.select([mask == GAS_SMOKE, mask == BACKGROUND], [weight, -weight], 0)
    odds = _odds(0.5 + 0.5 * side.astype(np.float32)) + trust * _POWER * _odds(score)
    gas = 1 / (1 + np.exp(-odds))
    sure = np.abs(2 * gas - 1).astype(np.float32)
    decided = np.where(gas >= 0.5, GAS_SMOKE, BACKGROUND).astype(np.uint8)
    undecided = sure < _UNDECIDED
    decided[undecided] = IGNORE
    sure[undecided] = 0
    # the network was not taught thin gas: its seeing none makes a doubtful background no surer
    clear = (mask == BACKGROUND) & (decided == BACKGROUND)
    sure[clear] = np.minimum(sure, weight)[clear]
    # it changed, and no network has yet been taught what that was: hardly background
    sure[(mask == IGNORE) & (decided == BACKGROUND)] *= _CHANGED_BACKGROUND
    return decided, sure


def _odds(probability: Float) -> Float:
    """Logarithm of the odds, cut off at the surest."""
    cut = np.clip(probability, 1 - _SUREST, _SUREST)
    return np.asarray(np.log(cut / (1 - cut)), np.float32)
