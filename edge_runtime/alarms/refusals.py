"""How many refusals the journal takes: nobody may fill the disk by asking what he may not."""

from __future__ import annotations

from contract.audit import Category, Entry

__all__ = ["Refusals"]

_SINGLY = 60
_SPAN_S = 60.0
_SINGLY_A_DAY = 1000
_LONG_SPAN_S = 3600.0  # once a day's are spent
_DAY_S = 86_400.0


class Refusals:
    """The first of each minute and day are written singly, the others as one number. Pure."""

    def __init__(self) -> None:
        self._minute_s = self._day_s = self._more_s = float("-inf")
        self._of_minute = self._of_day = self._more = 0

    def may_be_written(self, now_s: float) -> bool:
        """Whether a refusal at `now_s`, monotonic, may be written singly; else it is counted."""
        if now_s - self._minute_s >= _SPAN_S:
            self._minute_s, self._of_minute = now_s, 0
        if now_s - self._day_s >= _DAY_S:
            self._day_s, self._of_day = now_s, 0
        if self._of_minute < _SINGLY and self._of_day < _SINGLY_A_DAY:
            self._of_minute += 1
            self._of_day += 1
            return True
        if not self._more:
            self._more_s = now_s
        self._more += 1
        return False

    def due(self, now_s: float) -> list[Entry]:
        """The number of those that were not written, once, when their minute or hour is over."""
        span_s = _SPAN_S if self._of_day < _SINGLY_A_DAY else _LONG_SPAN_S
        if not self._more or now_s - self._more_s < span_s:
            return []
        said = f"{self._more} more were refused within {now_s - self._more_s:.0f} s"
        self._more = 0
        return [Entry(Category.ACCESS, "refusals", result="counted", comment=said)]
