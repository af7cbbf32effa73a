"""Whether a camera can be believed: pure rules over its pictures and times, no clock, no thread.

A frozen, dark or repeated picture looks exactly like "no gas" to a network; these rules say so
first. Times are seconds of the monotonic clock, given by the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.tags import HealthCode, Ne107, Quality
from edge_runtime.hysteresis import Standing
from edge_runtime.look import look_at, mark_of
from edge_runtime.repeats import RepeatWatch
from edge_runtime.view_watch import Sight, ViewWatch

if TYPE_CHECKING:
    from edge_runtime.config import HealthConfig
    from edge_runtime.frames import Frame
    from edge_runtime.look import Look

__all__ = ["CameraWatch", "look_at", "ne107_of", "quality_of"]

_CHANGED_SHARE = 0.002  # a burned-in clock on a frozen picture changes less, sensor noise far more
_LOOK_S = 0.04  # pictures that come faster are not each looked at
_STILL_FRAMES = 3
_LONGEST_PERIOD_S = 2.0
_CLOCK_STEP_S = 0.5
_HOLD_S = 2.0  # how long a moment's fault is shown
_NO_EARLIER_NS = 1_704_067_200_000_000_000  # 2024: a clock before it was never set
_SMALLEST_SIDE = 16
_EASE = 1.25  # a limit is left for good when it is left by so much
_RATE_S = 1.0  # over which arrivals are counted
_SIGHTS = {
    Sight.MOVED: HealthCode.MOVED,
    Sight.BLURRED: HealthCode.BLURRED,
    Sight.COVERED: HealthCode.COVERED,
}
_OF_PICTURES = (
    HealthCode.DARK,
    HealthCode.SATURATED,
    HealthCode.BLURRED,
    HealthCode.COVERED,
    HealthCode.MOVED,
)


class CameraWatch:
    """Follows the pictures of one camera that the worker takes.

    Args:
        config: the limits.
        size: width and height that the camera must have, None for any.
        replayed: whether they come from a file, a folder or a simulation, which may repeat and run
            as fast as it likes.
    """

    def __init__(
        self,
        config: HealthConfig,
        size: tuple[int, int] | None = None,
        *,
        replayed: bool = False,
    ) -> None:
        self._config = config
        self._size = size
        self._replayed = replayed
        self._last: Frame | None = None
        self._looked_s: float | None = None
        self._sane = False
        self._period_s = 0.0
        self._still: Look | None = None  # first picture of the run of equal ones
        self._still_since_s = 0.0
        self._still_frames = 0
        self._counted: Frame | None = None  # where counting arrivals began
        self._rate = 0.0
        self._repeats = RepeatWatch()
        self.view = ViewWatch()
        on_s, off_s = config.insane_after_s, config.sane_after_s
        self._standing = {fault: Standing(on_s, off_s) for fault in _OF_PICTURES}
        # these have lasted when they are seen
        self._standing |= {
            fault: Standing(0.0, off_s)
            for fault in (HealthCode.FROZEN, HealthCode.REPEATED, HealthCode.TOO_FAST)
        }
        self._clock_bad_until_s = self._back_until_s = 0.0
        self._picture_faults = HealthCode(0)

    def is_due(self, frame: Frame) -> bool:
        """Whether this picture must be looked at; between two looks nothing can have lasted."""
        looked, last = self._looked_s, self._last
        return (
            looked is None
            or last is None
            or last.picture.shape != frame.picture.shape
            or not 0 <= frame.monotonic_ns / 1e9 - looked < _LOOK_S
        )

    def saw(self, frame: Frame, look: Look | None) -> bool:
        """Take in one picture; tell whether a mask of it would say anything about gas.

        A picture that is no newer than the one before is no picture: it renews nothing.

        Args:
            frame: the picture.
            look: what it looks like; None, where it need not be looked at, takes it to be as good
                as the last one.
        """
        now_s = frame.monotonic_ns / 1e9
        last = self._last
        if last is not None and frame.monotonic_ns <= last.monotonic_ns:
            self._back_until_s = last.monotonic_ns / 1e9 + _HOLD_S
            return False
        self._judge_clock(frame, now_s)
        if last is not None:
            gap_s = (frame.monotonic_ns - last.monotonic_ns) / 1e9
            weight = 0.2 if self._period_s else 1.0
            self._period_s += weight * (min(gap_s, _LONGEST_PERIOD_S) - self._period_s)
        self._last = frame
        if look is None:
            if not self._replayed:  # a loop comes again picture by picture: each one counts
                self._repeats.saw(mark_of(frame.picture), now_s)
            return self._sane and now_s >= self._back_until_s
        self._looked_s = now_s
        signs = self._stream_signs(frame, look, now_s) | self._picture_signs(look, now_s)
        standing = HealthCode(0)
        for fault, sign in signs.items():
            if self._standing[fault].judge(now_s, sign):
                standing |= fault
        wrong = self._size is not None and (look.width, look.height) != self._size
        if wrong or min(look.width, look.height) < _SMALLEST_SIDE:
            standing |= HealthCode.WRONG_SIZE
        self._picture_faults = standing
        self._sane = not standing and not any(signs.values())
        return self._sane and now_s >= self._back_until_s

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
        if now_s < self._back_until_s:
            faults |= HealthCode.TIME_BACK
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
            self._clock_bad_until_s = now_s + _HOLD_S

    def _stream_signs(
        self, frame: Frame, look: Look, now_s: float
    ) -> dict[HealthCode, bool | None]:
        """What is wrong with how pictures follow each other."""
        if self._still is None or _changed_share(self._still, look) > _CHANGED_SHARE:
            self._still, self._still_since_s, self._still_frames = look, now_s, 0
        self._still_frames += 1
        is_still = self._still_frames >= _STILL_FRAMES
        frozen = is_still and now_s - self._still_since_s >= self._config.frozen_after_s
        signs: dict[HealthCode, bool | None] = {
            # equal pictures that are not long enough so yet do not end it either
            HealthCode.FROZEN: frozen or (None if is_still else False)
        }
        if not self._replayed:
            signs[HealthCode.REPEATED] = self._repeats.saw(look.mark, now_s)
            signs[HealthCode.TOO_FAST] = self._arrivals(frame) > self._config.too_fast_above
        return signs

    def _arrivals(self, frame: Frame) -> float:
        """Pictures a second over the last full second, those that nobody took among them."""
        begun = self._counted
        if begun is None or frame.seq < begun.seq:
            self._counted = frame
            return 0.0
        passed_s = (frame.monotonic_ns - begun.monotonic_ns) / 1e9
        if passed_s >= _RATE_S:
            self._rate, self._counted = (frame.seq - begun.seq) / passed_s, frame
        return self._rate

    def _picture_signs(self, look: Look, now_s: float) -> dict[HealthCode, bool | None]:
        """What is wrong with what a picture shows."""
        config = self._config
        dark = _below(config.dark_below, look.brightest)
        saturated = _below(1 - config.saturated_share, 1 - look.saturated)
        blurred = _below(config.blurred_below, look.sharpness)
        signs = dict.fromkeys(_OF_PICTURES, False) | {
            HealthCode.DARK: dark,
            HealthCode.SATURATED: saturated,
            HealthCode.BLURRED: blurred,
        }
        # a dark picture shows no view, and another name for it would help nobody
        sane = dark is False and saturated is False
        if not config.watch_view:
            return signs
        sight = self.view.saw(look, now_s, learn=sane and blurred is False)
        if sane and (fault := _SIGHTS.get(sight)) is not None:
            signs[fault] = True
            if fault is HealthCode.COVERED:
                signs[HealthCode.BLURRED] = None  # nothing to be seen is not out of focus
        elif sight in (Sight.UNSURE, Sight.LEARNING) or not sane:
            for fault in _SIGHTS.values():
                signs[fault] = signs[fault] or None
        return signs


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


def _below(limit: float, value: float) -> bool | None:
    """Whether `value` lies below `limit`; None where it is not clearly back."""
    if value < limit:
        return True
    return None if value < limit * _EASE else False


def _changed_share(before: Look, after: Look) -> float:
    if before.lattice.shape != after.lattice.shape:
        return 1.0
    return np.count_nonzero(before.lattice != after.lattice) / before.lattice.size
