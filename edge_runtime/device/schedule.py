"""When a daily check is due, and when it is overdue. Times are UTC seconds, given by the caller."""

from __future__ import annotations

import datetime as dt

__all__ = ["OVERDUE_S", "Schedule"]

OVERDUE_S = 25 * 3600.0
"""A check that ended longer ago than this is overdue."""
_AHEAD_S = 3600.0  # a last time so far in the future: the clock was wrong then, or is now


class Schedule:
    """One time of day.

    Args:
        at: "HH:MM".
        zone: of that time; None is the machine's own.
    """

    def __init__(self, at: str, zone: dt.tzinfo | None = None) -> None:
        self._at = dt.time.fromisoformat(at)
        self._zone = zone

    def is_due(self, last_s: float, now_s: float) -> bool:
        """Whether the time of day has passed since the last check, or the first start."""
        now = dt.datetime.fromtimestamp(now_s, self._zone)
        planned = now.replace(hour=self._at.hour, minute=self._at.minute, second=0, microsecond=0)
        if planned.timestamp() > now_s:  # summer time may leave an hour out
            planned -= dt.timedelta(days=1)
        return last_s < planned.timestamp() or last_s > now_s + _AHEAD_S

    def is_overdue(self, last_s: float, now_s: float) -> bool:
        """Whether the last check, or the first start without one, is too long ago."""
        return now_s - last_s > OVERDUE_S or last_s > now_s + _AHEAD_S
