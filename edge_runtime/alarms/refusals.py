"""How many refusals the journal takes: nobody may fill the disk by asking what he may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.audit import Category, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Refusals"]

_SINGLY = 60
_SPAN_S = 60.0


class Refusals:
    """The first of each minute are written singly, the others as one number. Pure."""

    def __init__(self) -> None:
        self._since_s = float("-inf")
        self._written = self._more = 0

    def may_be_written(self, now_s: float) -> bool:
        """Whether a refusal at `now_s`, monotonic, may be written singly; else it is counted."""
        if now_s - self._since_s >= _SPAN_S:
            self._since_s, self._written = now_s, 0
        self._written += 1
        self._more += self._written > _SINGLY
        return self._written <= _SINGLY

    def due(self, now_s: float) -> Iterator[Entry]:
        """The number of those that were not written, once their minute is over."""
        if self._more and now_s - self._since_s >= _SPAN_S:
            more, self._more = self._more, 0
            said = f"{more} more were refused within a minute"
            yield Entry(Category.ACCESS, "refusals", result="counted", comment=said)
