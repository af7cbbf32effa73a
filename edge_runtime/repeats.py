"""Pictures that come again: a recording played in a loop looks live to every other rule.

Sensor noise makes no two pictures of a camera equal. So when nearly all pictures of a while have
been seen before, pixel for pixel, nobody is looking.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RepeatWatch"]

_MEMORY = 4096  # pictures: a loop of nearly three minutes at 25 a second
_WHILE_S = 1.2
_MOST = 0.9  # share of pictures seen before
_FEWEST = 6


class RepeatWatch:
    """Remembers the marks of a camera's pictures; pure, time comes in as an argument."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._known: set[int] = set()
        self._last: int | None = None
        self._recent: deque[tuple[float, bool]] = deque()

    def saw(self, mark: int, now_s: float) -> bool:
        """Take in a picture's mark; tell whether nearly all of the last while came before.

        A picture equal to the one just before is another matter: the camera may send each twice.
        """
        if mark == self._last:
            return self._told()
        self._last = mark
        before = mark in self._known
        self._recent.append((now_s, before))
        while now_s - self._recent[0][0] > _WHILE_S and len(self._recent) > _FEWEST:
            self._recent.popleft()
        if not before:
            self._known.add(mark)
            self._order.append(mark)
            if len(self._order) > _MEMORY:
                self._known.discard(self._order.popleft())
        return self._told()

    def _told(self) -> bool:
        again = sum(before for _, before in self._recent)
        return again >= max(_FEWEST, _MOST * len(self._recent))
