"""When a picture was taken, from its stream's time and from when it reached us; no clock in it.

A stream's own time starts anywhere and runs at the camera's pace. The quickest picture so far tells
how it maps onto our monotonic clock; whatever comes later than that says was held up on the way, by
the network or by a decoder that cannot keep up, and is older by as much.
"""

from __future__ import annotations

__all__ = ["CaptureClock"]

_SETTLED_NS = 3_000_000_000
_DRIFT = 200e-6  # more than any camera's crystal is off, less than any queue grows


class CaptureClock:
    """Maps the times of one stream onto the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._arrived_ns = 0
        self._stream_ns = 0
        self._first_ns = 0
        self.caught_up = False
        """Whether pictures come at their own pace: what piled up before the first came at once."""

    def taken_ns(self, stream_ns: int, arrived_ns: int) -> int:
        """When the picture of `stream_ns` was taken; never later than it arrived.

        What every picture takes alike, in the camera and on the way, is not seen and not in it.

        Args:
            stream_ns: the picture's time in the stream, from any beginning.
            arrived_ns: monotonic time at which it was decoded.
        """
        offset_ns = arrived_ns - stream_ns
        if self._offset_ns is None:
            self._offset_ns, self._first_ns = offset_ns, arrived_ns
        else:
            in_pace = 2 * (arrived_ns - self._arrived_ns) >= stream_ns - self._stream_ns
            self.caught_up |= in_pace or arrived_ns - self._first_ns > _SETTLED_NS
            risen_ns = self._offset_ns + round(_DRIFT * (arrived_ns - self._arrived_ns))
            self._offset_ns = min(risen_ns, offset_ns)
        self._arrived_ns, self._stream_ns = arrived_ns, stream_ns
        return stream_ns + self._offset_ns
