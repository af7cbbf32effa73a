"""Whether a camera and its INT8 network still are what calibration saw; pure rules over samples.

Two things drift in the field. The INT8 network may lose what FP16 still sees, for its ranges came
from other pictures: that shows where both look at one picture. And pictures may leave what the
network was calibrated on, by another gain, season or dirt: that shows in their grey levels. The
first asks for a calibration (NE 107 maintenance required), the second says that the network works
outside of what it was made for (NE 107 off specification).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.grey_histogram import jensen_shannon_distance
from contract.label_map import GAS_SMOKE
from contract.tags import HealthCode, Ne107

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.grey_histogram import GreyReference
    from contract.tags import Value
    from edge_runtime.config import DriftConfig

__all__ = ["DriftTracker", "Sample", "ShadowAnswer", "compared", "ne107_with"]

_WINDOW = 64  # samples that the published figures are taken over
_ENOUGH = 8  # and as many it takes before a limit counts


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """How a mask and the shadow's mask of the same picture differ, in pixels of the valid field."""

    pixels: int
    differing: int  # in class
    gas_in_both: int
    gas_in_any: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one picture says of drift."""

    greys: NDArray[np.float64]  # as of contract.grey_histogram.grey_shares
    calibrated: GreyReference | None  # what calibration saw; None where that is not known
    answer: ShadowAnswer | None  # None without a shadow


def compared(mask: NDArray[np.uint8], shadow: NDArray[np.uint8]) -> ShadowAnswer:
    """Compare two (h, w) masks of class indices, cut to the valid field."""
    gas, other = mask == GAS_SMOKE, shadow == GAS_SMOKE
    return ShadowAnswer(
        pixels=mask.size,
        differing=int((mask != shadow).sum()),
        gas_in_both=int((gas & other).sum()),
        gas_in_any=int((gas | other).sum()),
    )


def ne107_with(ne107: Ne107, warnings: HealthCode) -> Ne107:
    """NE 107 state with what drift warns of: it is told only while nothing worse is."""
    if ne107 is not Ne107.NORMAL:
        return ne107
    if HealthCode.PICTURE_DRIFT in warnings:
        return Ne107.OFF_SPEC
    return Ne107.MAINTENANCE_REQUIRED if HealthCode.NETWORK_DRIFT in warnings else ne107


class DriftTracker:
    """Follows the samples of one camera.

    Args:
        config: limits, and how long they must be exceeded.
    """

    def __init__(self, config: DriftConfig) -> None:
        self.config = config
        self._samples: deque[Sample] = deque(maxlen=_WINDOW)
        self._last_s = 0.0
        self._beyond_since_s: dict[HealthCode, float] = {}
        self._distance: float | None = None
        self._compared = self._skipped = 0

    def skip(self) -> None:
        """Count a picture that nobody had time for."""
        self._skipped += 1

    def take(self, sample: Sample, taken_s: float) -> None:
        """Take in a sample of the picture of `taken_s`, monotonic seconds."""
        self._samples.append(sample)
        self._last_s = taken_s
        self._compared += sample.answer is not None
        limit = self.config.distance_limit
        if sample.calibrated is not None:
            greys = np.mean([each.greys for each in self._samples], axis=0)
            self._distance = jensen_shannon_distance(greys, sample.calibrated.shares)
            limit = sample.calibrated.spread if limit is None else limit
        beyond = {
            HealthCode.NETWORK_DRIFT: _over(self._disagreement(), self.config.disagreement_limit),
            HealthCode.PICTURE_DRIFT: _over(self._distance, limit),
        }
        for warning, over in beyond.items():
            if over and len(self._samples) >= _ENOUGH:
                self._beyond_since_s.setdefault(warning, taken_s)
            else:
                self._beyond_since_s.pop(warning, None)

    def warnings(self, now_s: float) -> HealthCode:
        """What has been beyond its limit for as long as configured."""
        standing = HealthCode(0)
        for warning, since_s in self._beyond_since_s.items():
            if now_s - since_s >= self.config.hold_s:
                standing |= warning
        return standing

    def values(self, now_s: float) -> dict[str, Value]:
        """The `Drift/` tags; figures that are older than `old_after_s` are left out."""
        counts: dict[str, Value] = {
            "Drift/Compared": self._compared,
            "Drift/Skipped": self._skipped,
        }
        if not self._samples or now_s - self._last_s > self.config.old_after_s:
            return counts
        answers = [each.answer for each in self._samples if each.answer is not None]
        gas_in_any = sum(each.gas_in_any for each in answers)
        gas_in_both = sum(each.gas_in_both for each in answers)
        return counts | {
            "Drift/Disagreement": self._disagreement(),
            "Drift/GasIoU": gas_in_both / gas_in_any if gas_in_any else None,
            "Drift/PictureDistance": self._distance,
        }

    def _disagreement(self) -> float | None:
        answers = [each.answer for each in self._samples if each.answer is not None]
        pixels = sum(each.pixels for each in answers)
        return sum(each.differing for each in answers) / pixels if pixels else None


def _over(figure: float | None, limit: float | None) -> bool:
    return figure is not None and limit is not None and figure > limit
