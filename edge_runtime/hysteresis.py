"""A fault stands once its sign has lasted and falls once it has been gone; without a clock."""

from __future__ import annotations

__all__ = ["Standing"]


class Standing:
    """One fault.

    Args:
        on_s: how long its sign must last before it stands.
        off_s: how long the sign must be gone before it falls.
    """

    def __init__(self, on_s: float, off_s: float) -> None:
        self._on_s = on_s
        self._off_s = off_s
        self._stands = False
        self._since_s: float | None = None  # of a sign against what stands
        self._signs = 0

    def judge(self, now_s: float, sign: bool | None) -> bool:  # noqa: FBT001 - the sign itself
        """Take in whether the sign is there, None for neither clearly; tell whether it stands.

        One picture alone proves nothing, however far it lies from the one before.
        """
        if sign is None or sign == self._stands:
            self._since_s = None
            return self._stands
        if self._since_s is None:
            self._since_s, self._signs = now_s, 0
        self._signs += 1
        needed_s = self._off_s if self._stands else self._on_s
        if self._signs > 1 and now_s - self._since_s >= needed_s:
            self._stands, self._since_s = not self._stands, None
        return self._stands
