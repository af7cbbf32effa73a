"""How far the pictures of today are from those a network was calibrated on, by their grey levels.

The distance is that of Jensen and Shannon: the root of their divergence to base 2, 0 for equal
histograms and 1 for histograms that share no level (Endres and Schindelin 2003, IEEE Trans. Inf.
Theory 49(7), 1858-1860).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.bundle import CARD
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contract.bundle import Bundle

__all__ = [
    "GREY_BINS",
    "GreyReference",
    "calibrated_greys",
    "grey_reference",
    "grey_shares",
    "jensen_shannon_distance",
]

GREY_BINS = 64  # of four levels: finer ones would see a camera's noise

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GreyReference:
    """What the pictures of a set look like."""

    shares: Shares  # (GREY_BINS,) of pixels, mean over the pictures
    spread: float  # distance from `shares` that 95 of 100 of its pictures stay within


def grey_shares(picture: NDArray[np.uint8]) -> Shares:
    """Share of the pixels of a (h, w, 3) BGR picture in each of GREY_BINS equal grey ranges."""
    cv2 = need("cv2", extra="cpu")
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    counts = cv2.calcHist([grey], [0], None, [GREY_BINS], [0, 256]).ravel()
    return np.asarray(counts / counts.sum(), np.float64)


def jensen_shannon_distance(one: Shares, other: Shares) -> float:
    """Distance of two histograms whose bins sum to 1, 0..1."""
    middle = (one + other) / 2
    bits = 0.0
    for each in (one, other):
        held = each > 0
        bits += float((each[held] * np.log2(each[held] / middle[held])).sum()) / 2
    return float(np.sqrt(min(max(bits, 0.0), 1.0)))


def grey_reference(pictures: Sequence[Shares]) -> GreyReference:
    """Sum up a set by the histograms of its pictures, at least one."""
    shares = np.mean(pictures, axis=0)
    apart = [jensen_shannon_distance(each, shares) for each in pictures]
    return GreyReference(shares, float(np.quantile(apart, 0.95)))


def calibrated_greys(bundle: Bundle) -> GreyReference | None:
    """What the pictures look like that a bundle was calibrated on; None where that is not known.

    Raises:
        IntegrityError: when the card was changed.
    """
    if CARD not in bundle.manifest.files:
        return None
    card = json.loads(bundle.read(CARD))["mix"].get("greys")
    return card and GreyReference(np.array(card["shares"], np.float64), float(card["spread"]))
