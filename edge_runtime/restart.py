"""When a process that ended may be started again: back-off with jitter, and a budget."""

from __future__ import annotations

from collections import deque

from edge_runtime.reconnect import back_off_s

__all__ = ["RestartPolicy"]


class RestartPolicy:
    """Decides about the restarts of one process. Times are seconds of the monotonic clock.

    Args:
        budget: restarts within `window_s`; who needs more is given `rest_s` of quiet before each
            further one, for ever: a device nobody visits must not give up.
        window_s: see budget.
        rest_s: see budget.
        steady_s: a process that ran so long counts as sound again.
    """

    def __init__(
        self,
        *,
        budget: int = 10,
        window_s: float = 600.0,
        rest_s: float = 300.0,
        steady_s: float = 60.0,
    ) -> None:
        self._budget = budget
        self._window_s = window_s
        self._rest_s = rest_s
        self._steady_s = steady_s
        self._ends: deque[float] = deque()
        self._failures = 0

    def ended(self, now_s: float, ran_s: float, chance: float) -> float:
        """Seconds to wait before the restart of a process that just ended.

        Args:
            now_s: when it ended.
            ran_s: how long it ran.
            chance: a random number in 0..1.
        """
        self._failures = 1 if ran_s >= self._steady_s else self._failures + 1
        self._ends.append(now_s)
        while self._ends and now_s - self._ends[0] > self._window_s:
            self._ends.popleft()
        if self.is_spent:
            return self._rest_s
        return back_off_s(self._failures, chance)

    @property
    def is_spent(self) -> bool:
        """Whether the budget is used up at present."""
        return len(self._ends) > self._budget
