"""What two models say of the same frames, and whether the new one may take over; pure rules.

Agreement is judged where it matters to a plant: gas that only one of them finds is counted by
frames, so that a background that both get right hides nothing. A scene without gas cannot show that
a model is blind; for that the new model must find the gas in the running model's golden frames.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.label_map import GAS_SMOKE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_runtime.slots.config import UpdateConfig

__all__ = ["CameraAgreement", "Comparison", "as_large_as"]


def as_large_as(mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An (h, w) mask in the size of `other`: the two networks may have inputs of other sizes."""
    if mask.shape == other.shape:
        return mask
    cv2 = need("cv2", extra="cpu")
    size = (other.shape[1], other.shape[0])
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)


@dataclass(slots=True)
class CameraAgreement:
    """One camera's frames through both models."""

    frames: int = 0
    pixels: int = 0
    differing: int = 0  # pixels whose class differs
    gas_in_both: int = 0  # pixels
    gas_in_any: int = 0
    with_gas: int = 0  # frames in which the running model finds gas
    missed: int = 0  # of them, those in which the new one finds none
    extra: int = 0  # frames in which only the new one does

    def as_json(self) -> dict[str, Any]:
        """Figures, for a program."""
        return {
            "frames": self.frames,
            "disagreement": _share(self.differing, self.pixels),
            "gas_iou": _share(self.gas_in_both, self.gas_in_any),
            "gas_running_frames": self.with_gas,
            "gas_only_running_frames": self.missed,
            "gas_only_new_frames": self.extra,
        }


@dataclass(slots=True)
class Comparison:
    """A shadow run.

    Args:
        update: limits.
        cameras: that must be compared.
    """

    update: UpdateConfig
    cameras: Sequence[str]
    golden_gas: float | None = None  # share of the golden gas that the new one finds, 0..1
    not_compared: str = ""  # why there is no such share; "" where the frames hold no gas
    cpu_share: float | None = None  # of one core that the shadow run used
    found: dict[str, CameraAgreement] = field(default_factory=dict)
    running_ms: list[float] = field(default_factory=list)  # a frame, both in the same process
    new_ms: list[float] = field(default_factory=list)

    def take(self, camera: str, running: NDArray[np.uint8], new: NDArray[np.uint8]) -> None:
        """Take in the two (h, w) masks of one frame, cut to the picture."""
        new = as_large_as(new, running)
        gas, other = running == GAS_SMOKE, new == GAS_SMOKE
        least = self.update.gas_from * gas.size
        has, other_has = int(gas.sum()) > least, int(other.sum()) > least
        seen = self.found.setdefault(camera, CameraAgreement())
        seen.frames += 1
        seen.pixels += gas.size
        seen.differing += int((running != new).sum())
        seen.gas_in_both += int((gas & other).sum())
        seen.gas_in_any += int((gas | other).sum())
        seen.with_gas += has
        seen.missed += has and not other_has
        seen.extra += other_has and not has

    @property
    def slower(self) -> float | None:
        """The new model's median time a frame over the running one's."""
        if not self.running_ms or not self.new_ms:
            return None
        return statistics.median(self.new_ms) / max(statistics.median(self.running_ms), 1e-6)

    def faults(self) -> list[str]:
        """Why the new model may not take over; none when it may."""
        limits = self.update
        faults = [fault for name in self.cameras for fault in self._camera_faults(name)]
        if self.golden_gas is None and limits.golden_gas_least and not self.not_compared:
            faults.append(
                "the running model's golden frames hold no gas, so nothing shows that it finds "
                "any; golden_gas_least = 0 does without"
            )
        if self.golden_gas is not None and self.golden_gas < limits.golden_gas_least:
            faults.append(
                f"it finds {self.golden_gas:.0%} of the gas in the running model's golden frames, "
                f"at least {limits.golden_gas_least:.0%} is asked (golden_gas_least)"
            )
        if self.slower is not None and self.slower > limits.slower_limit:
            faults.append(
                f"a frame takes {self.slower:.2f} times as long, {limits.slower_limit:g} times is "
                "allowed (slower_limit)"
            )
        return faults

    def _camera_faults(self, camera: str) -> list[str]:
        limits, seen = self.update, self.found.get(camera, CameraAgreement())
        if seen.frames < limits.least_frames:
            said = f"camera {camera} gave {seen.frames} frames to compare, {limits.least_frames}"
            return [f"{said} are needed (least_frames): see to the camera, or take longer"]
        missed = seen.missed / max(1, seen.with_gas)
        named = (
            ("of the pixels differ", seen.differing / seen.pixels, "disagreement_limit"),
            ("of the frames with gas are missed", missed, "missed_limit"),
            ("of the frames have gas in it alone", seen.extra / seen.frames, "extra_limit"),
        )
        return [
            f"camera {camera}: {share:.1%} {what}, {getattr(limits, key):.1%} may ({key})"
            for what, share, key in named
            if share > getattr(limits, key)
        ]

    def as_json(self) -> dict[str, Any]:
        """Figures, for a program."""
        return {
            "cameras": {name: each.as_json() for name, each in sorted(self.found.items())},
            "golden_gas_found": self.golden_gas,
            "not_compared": self.not_compared,
            "running_frame_ms": _median(self.running_ms),
            "new_frame_ms": _median(self.new_ms),
            "cpu_share": self.cpu_share,
            "faults": self.faults(),
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
