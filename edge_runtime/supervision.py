"""Whether a camera can be believed: pure rules over its pictures and times, no clock, no thread.

A frozen, dark or repeated picture looks exactly like "no gas" to a network; these rules say so
first. Times are seconds of the monotonic clock, given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from contract.tags import HealthCode, Ne107, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.config import HealthConfig
    from edge_runtime.frames import Frame

__all__ = ["CameraWatch", "Look", "look_at", "ne107_of", "quality_of"]

_ROWS, _COLUMNS = 96, 128  # of the lattice on which pictures are compared
_PATCH = 64  # side of the patches on which sharpness is measured, in camera pixels
_CHANGED_SHARE = 0.002  # a burned-in clock on a frozen picture changes less, sensor noise far more
_STILL_FRAMES = 3
_LONGEST_PERIOD_S = 2.0
_CLOCK_STEP_S = 0.5
_CLOCK_HOLD_S = 2.0
_NO_EARLIER_NS = 1_704_067_200_000_000_000  # 2024: a clock before it was never set
_SMALLEST_SIDE = 16


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture looks like, as far as its camera's health goes."""

    width: int
    height: int
    lattice: NDArray[np.uint8]  # every n-th pixel: compared as it is, so sensor noise shows
    brightest: float  # 99th percentile of brightness, 0..255
    saturated: float  # share of pixels at 250 or more
    sharpness: float  # largest variance of the Laplacian over nine patches


def look_at(picture: NDArray[np.uint8]) -> Look:
    """Measure a (h, w, 3) BGR picture; about a millisecond at 1080p."""
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    lattice = picture[:: max(1, height // _ROWS), :: max(1, width // _COLUMNS)].copy()
    grey = cv2.cvtColor(lattice, cv2.COLOR_BGR2GRAY)
    sharpest = 0.0
    for row in (0, (height - _PATCH) // 2, height - _PATCH):
        for column in (0, (width - _PATCH) // 2, width - _PATCH):
            top, left = max(0, row), max(0, column)
            patch = picture[top : top + _PATCH, left : left + _PATCH, 1]
            edges = cv2.Laplacian(np.ascontiguousarray(patch), cv2.CV_16S)
            sharpest = max(sharpest, float(edges.var()))
    return Look(
        width=width,
        height=height,
        lattice=lattice,
        brightest=float(np.percentile(grey, 99)),
        saturated=float((grey >= 250).mean()),
        sharpness=sharpest,
    )


class CameraWatch:
    """Follows the pictures of one camera that the worker takes.

    Args:
        config: the limits.
        size: width and height that the camera must have, None for any.
    """

    def __init__(self, config: HealthConfig, size: tuple[int, int] | None = None) -> None:
        self._config = config
        self._size = size
        self._last: Frame | None = None
        self._period_s = 0.0
        self._still: Look | None = None  # first picture of the run of equal ones
        self._still_since_s = 0.0
        self._still_frames = 0
        self._insane_since_s: dict[HealthCode, float] = {}
        self._clock_bad_until_s = 0.0
        self._picture_faults = HealthCode(0)

    def saw(self, frame: Frame, look: Look) -> bool:
        """Take in one picture; tell whether a mask of it would say anything about gas.

        A picture that is no newer than the one before is no picture: it renews nothing.
        """
        now_s = frame.monotonic_ns / 1e9
        last = self._last
        if last is not None and frame.monotonic_ns <= last.monotonic_ns:
            return False
        self._judge_clock(frame, now_s)
        if last is not None:
            gap_s = (frame.monotonic_ns - last.monotonic_ns) / 1e9
            weight = 0.2 if self._period_s else 1.0
            self._period_s += weight * (min(gap_s, _LONGEST_PERIOD_S) - self._period_s)
        self._last = frame
        self._judge_stillness(look, now_s)
        momentary = self._judge_picture(look, now_s)
        return not (momentary or self._picture_faults)

    def faults(self, now_s: float) -> HealthCode:
        """Everything that is wrong at `now_s`."""
        if self._last is None:
            return HealthCode.NO_CAMERA
        faults = self._picture_faults
        if now_s - self._last.monotonic_ns / 1e9 > self.lost_after_s:
            # what the last picture looked like says nothing any more
            faults = HealthCode.NO_CAMERA
        if now_s < self._clock_bad_until_s:
            faults |= HealthCode.CLOCK_BAD
        return faults

    @property
    def stale_after_s(self) -> float:
        """Seconds without a picture after which values are old: three periods or half a second."""
        return max(3 * self._period_s, 0.5)

    @property
    def lost_after_s(self) -> float:
        """Seconds without a picture after which the camera counts as lost."""
        return max(self._config.lost_after_s, 4 * self._period_s)

    def _judge_clock(self, frame: Frame, now_s: float) -> None:
        offset_ns = frame.captured_ns - frame.monotonic_ns
        stepped = self._last is not None and (
            abs(offset_ns - (self._last.captured_ns - self._last.monotonic_ns))
            > _CLOCK_STEP_S * 1e9
        )
        if stepped or frame.captured_ns < _NO_EARLIER_NS:
            self._clock_bad_until_s = now_s + _CLOCK_HOLD_S

    def _judge_stillness(self, look: Look, now_s: float) -> None:
        if self._still is None or _changed_share(self._still, look) > _CHANGED_SHARE:
            self._still, self._still_since_s, self._still_frames = look, now_s, 0
        self._still_frames += 1

    def _judge_picture(self, look: Look, now_s: float) -> HealthCode:
        """Set the lasting faults of the pictures and return the momentary ones of this one."""
        config = self._config
        momentary = HealthCode(0)
        if look.brightest < config.dark_below:
            momentary |= HealthCode.DARK
        if look.saturated > config.saturated_share:
            momentary |= HealthCode.SATURATED
        if look.sharpness < config.blurred_below:
            momentary |= HealthCode.BLURRED
        lasting = HealthCode(0)
        for fault in (HealthCode.DARK, HealthCode.SATURATED, HealthCode.BLURRED):
            if fault not in momentary:
                self._insane_since_s.pop(fault, None)
            elif now_s - self._insane_since_s.setdefault(fault, now_s) >= config.insane_after_s:
                lasting |= fault
        wrong = self._size is not None and (look.width, look.height) != self._size
        if wrong or min(look.width, look.height) < _SMALLEST_SIDE:
            lasting |= HealthCode.WRONG_SIZE
        still_s = now_s - self._still_since_s
        if self._still_frames >= _STILL_FRAMES and still_s >= config.frozen_after_s:
            lasting |= HealthCode.FROZEN
        self._picture_faults = lasting
        return momentary


def quality_of(faults: HealthCode, *, stale: bool) -> Quality:
    """How far the values of a camera with these faults may be trusted."""
    if faults & ~HealthCode.TEST_SOURCE:
        return Quality.BAD
    if stale:
        return Quality.STALE
    return Quality.UNCERTAIN if faults else Quality.GOOD


def ne107_of(faults: HealthCode, quality: Quality) -> Ne107:
    """NAMUR NE 107 state of a camera with these faults."""
    if quality is Quality.BAD:
        starting = not faults & ~(HealthCode.STARTING | HealthCode.TEST_SOURCE)
        return Ne107.CHECK_FUNCTION if starting else Ne107.FAILURE
    if quality is Quality.STALE:
        return Ne107.OFF_SPEC
    return Ne107.CHECK_FUNCTION if HealthCode.TEST_SOURCE in faults else Ne107.NORMAL


def _changed_share(before: Look, after: Look) -> float:
    if before.lattice.shape != after.lattice.shape:
        return 1.0
    changed = (before.lattice != after.lattice).any(axis=2)
    return float(changed.mean())
