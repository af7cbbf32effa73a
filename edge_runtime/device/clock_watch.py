"""Whether the wall clock can be believed: held against the monotonic one; reads neither itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClockWatch", "ClockWord"]

_STEP_S = 0.5  # more than any time server slews between two looks
_SHOWN_S = 60.0  # how long a step is shown
_PATIENCE_S = 600.0  # that a time server may take to be found, before that is told
_NO_EARLIER_NS = 1_704_067_200_000_000_000  # 2024: a clock before it was never set


@dataclass(frozen=True, slots=True)
class ClockWord:
    """What is said of the clock."""

    bad: bool
    stepped_s: float  # since the last look, forward or, less than 0, back; 0 when it did not
    trouble: str | None  # what a person should see to


class ClockWatch:
    """Follows one clock.

    Args:
        time_server: whether one is meant to keep it.
    """

    def __init__(self, *, time_server: bool) -> None:
        self._time_server = time_server
        self._offset_ns: int | None = None
        self._stepped_ns: int | None = None  # monotonic
        self._kept_ns: int | None = None  # monotonic, when a time server last kept it

    def look(self, mono_ns: int, utc_ns: int, *, synchronised: bool) -> ClockWord:
        """Take in the time.

        Args:
            mono_ns: by the monotonic clock.
            utc_ns: the same instant by the wall clock.
            synchronised: whether the kernel says that a time server keeps that.
        """
        offset_ns = utc_ns - mono_ns
        before, self._offset_ns = self._offset_ns, offset_ns
        stepped_s = 0.0 if before is None else (offset_ns - before) / 1e9
        if abs(stepped_s) > _STEP_S:
            self._stepped_ns = mono_ns
        else:
            stepped_s = 0.0
        if synchronised or self._kept_ns is None:
            self._kept_ns = mono_ns
        just = self._stepped_ns is not None and mono_ns - self._stepped_ns < _SHOWN_S * 1e9
        unset = utc_ns < _NO_EARLIER_NS
        missed = self._time_server and not synchronised
        trouble = None
        if unset:
            trouble = "the clock was never set: see to its battery and its time server"
        elif missed and mono_ns - self._kept_ns > _PATIENCE_S * 1e9:
            trouble = "no time server keeps the clock: see to NTP, or set [device] time_server"
        return ClockWord(unset or just or missed, stepped_s, trouble)
