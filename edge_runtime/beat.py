"""Whether a loop comes round: what a child process may say of itself. Time is an argument."""

from __future__ import annotations

__all__ = ["HUNG", "SERVING", "STARTING", "Beat"]

SERVING, STARTING, HUNG = b".", b"s", b""
"""What a child writes to its parent each second; one that hangs writes nothing."""


class Beat:
    """The beats of one loop; any thread may ask. Times are seconds of the monotonic clock.

    Args:
        begun_s: when its process began.
        hung_s: a loop that did not come round for so long hangs.
        start_s: how long the first beat may take.
    """

    def __init__(self, begun_s: float, *, hung_s: float = 10.0, start_s: float = 120.0) -> None:
        self._begun_s, self._hung_s, self._start_s = begun_s, hung_s, start_s
        self._last_s: float | None = None

    def mark(self, now_s: float) -> None:
        """The loop came round."""
        self._last_s = now_s

    def word(self, now_s: float) -> bytes:
        """`SERVING`, `STARTING` before the first beat, or `HUNG`."""
        last_s = self._last_s
        if last_s is None:
            return STARTING if now_s - self._begun_s < self._start_s else HUNG
        return SERVING if now_s - last_s < self._hung_s else HUNG
