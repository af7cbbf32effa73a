"""The known-answer test: a backend may speak about gas only after it got the golden frames right.

It finds what raises no error: a runtime that computes wrongly on this CPU, an engine that was
damaged or compiled for other numbers, a driver that returns zeros.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import IntegrityError
from contract.label_map import GAS_SMOKE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contract.bundle import Bundle
    from contract.manifest import GoldenEntry
    from contract.precision import Precision
    from contract.segmenter import Run, Segmenter

__all__ = ["GoldenQuestions", "KnownAnswer", "golden_frame", "golden_mask", "known_answer_test"]

_GAS_AGREEMENT = 0.5


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """How far a backend's masks are from the bundle's golden masks."""

    passed: bool
    differing: float  # largest share of pixels of one frame, 0..1
    gas_agreement: float | None  # IoU with the golden gas pixels of all frames, None without any
    tolerance: float  # the manifest's, 0..1
    detail: str  # one line for a log or a page


class GoldenQuestions:
    """The golden frames of a bundle, to be asked one by one, and the masks they must give.

    All of them are read at once, so that asking needs no disk.

    Args:
        bundle: holds them.
        precision: of the network that is asked.

    Raises:
        IntegrityError: when the bundle has no golden frames, masks or tolerance for `precision`,
            or one of the files is not a picture of the network's input size.
    """

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        golden = bundle.manifest.golden
        tolerance = bundle.manifest.golden_tolerance.get(precision)
        if not golden or tolerance is None:
            raise IntegrityError(
                f"{bundle.path}: holds no golden frames for {precision}, so a backend cannot be "
                "trusted with it; export and calibrate it anew"
            )
        self.tolerance = tolerance  # share of pixels that may differ, 0..1
        self.names = [entry.name for entry in golden]
        self.frames = [golden_frame(bundle, entry) for entry in golden]  # (H, W, 3) BGR
        self._masks = [_pixels(bundle, entry.mask(precision), channels=1) for entry in golden]

    def judge(self, found: Sequence[NDArray[np.uint8]], backend: str) -> KnownAnswer:
        """Hold the (H, W) masks of all frames, in their order, against the golden ones.

        The worst frame counts: an average would let one blank mask pass among many right ones. Gas
        is often a small part of a frame, so a backend that loses it all could stay inside the
        tolerance: its gas pixels must also agree with the golden ones by half.

        Args:
            found: masks of class indices.
            backend: its name, for the answer.
        """
        worst, frame, in_both, in_either = 0.0, self.names[0], 0, 0
        for name, mask, expected in zip(self.names, found, self._masks, strict=True):
            differing = float(np.mean(mask != expected))
            gas, golden_gas = mask == GAS_SMOKE, expected == GAS_SMOKE
            in_both += int(np.count_nonzero(gas & golden_gas))
            in_either += int(np.count_nonzero(gas | golden_gas))
            if differing > worst:
                worst, frame = differing, name
        agreement = in_both / in_either if in_either else None
        passed = worst <= self.tolerance and (agreement is None or agreement >= _GAS_AGREEMENT)
        verdict = "gives" if passed else "does NOT give"
        gas_said = "no gas in them" if agreement is None else f"gas agrees to {agreement:.1%}"
        return KnownAnswer(
            passed,
            worst,
            agreement,
            self.tolerance,
            f"{backend} {verdict} the golden masks: {worst:.3%} of pixels differ on {frame}, "
            f"{self.tolerance:.3%} may; {gas_said} ({len(self.frames)} frames)",
        )


def known_answer_test(segmenter: Segmenter, bundle: Bundle, precision: Precision) -> KnownAnswer:
    """Run the golden frames, as many at a time as in service, and hold masks against masks.

    Raises:
        IntegrityError: see `GoldenQuestions`.
        EngineError: when the backend fails.
    """
    questions = GoldenQuestions(bundle, precision)
    start, found = getattr(segmenter, "start", None), []
    under_way: deque[Run] = deque()
    for frame in questions.frames:
        if start is None:  # such a backend may write its next answer where this one stands
            found.append(segmenter.segment(frame[None]).mask[0].copy())
            continue
        if len(under_way) == getattr(segmenter, "depth", 1):
            found.append(under_way.popleft().result()[0].mask[0])
        under_way.append(start(frame[None], lambda: None))
    found += [run.result()[0].mask[0] for run in under_way]
    return questions.judge(found, segmenter.name)


def golden_frame(bundle: Bundle, entry: GoldenEntry) -> NDArray[np.uint8]:
    """The (H, W, 3) BGR frame of a golden entry.

    Raises:
        IntegrityError: when it differs from the manifest or is not of the network's input size.
    """
    return _pixels(bundle, entry.frame, channels=3)


def golden_mask(bundle: Bundle, entry: GoldenEntry, precision: Precision) -> NDArray[np.uint8]:
    """The (H, W) class indices that this precision must give for a golden entry.

    Raises:
        IntegrityError: as `golden_frame`.
    """
    return _pixels(bundle, entry.mask(precision), channels=1)


def _pixels(bundle: Bundle, name: str, *, channels: int) -> NDArray[np.uint8]:
    cv2 = need("cv2", extra="cpu")
    pixels = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
    geometry = bundle.manifest.input
    shape = (geometry.height, geometry.width) + ((3,) if channels == 3 else ())
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape != shape:
        seen = "no picture" if pixels is None else f"{pixels.dtype} {pixels.shape}"
        raise IntegrityError(f"{bundle.path / name}: is {seen}, expected uint8 {shape}")
    return np.asarray(pixels)
