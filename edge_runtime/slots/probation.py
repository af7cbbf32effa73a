"""The time after a switch: what makes a new model good, and what sends it back; no clock.

What it sees in the pictures is not judged here, for a leak may begin at any time: that was the
shadow run's part. What counts is whether it gives masks, as fast as the one before, and whether its
INT8 stays with its FP16 where `[drift]` compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.tags import HealthCode

if TYPE_CHECKING:
    from edge_runtime.pipeline import Standing
    from edge_runtime.slots.config import UpdateConfig

__all__ = ["Probation"]

_FRESH_S = 2.0


class Probation:
    """Follows how a model on trial stands.

    Args:
        update: limits.
        frame_ms: a run's time of the model before; None where it was not measured.
    """

    def __init__(self, update: UpdateConfig, frame_ms: float | None) -> None:
        self._update, self._before_ms = update, frame_ms
        self._last_s: float | None = None
        self._worse_since_s: float | None = None
        self._why = ""
        self.good_s = 0.0  # in which it gave masks

    @property
    def is_steady(self) -> bool:
        """Whether this start was a good one."""
        return self.good_s >= self._update.steady_s

    @property
    def is_over(self) -> bool:
        """Whether the model has proved itself."""
        return self.good_s >= self._update.probation_s

    def take(self, now_s: float, standing: Standing) -> str:
        """Take in how it stands; why it must go, or "".

        Args:
            now_s: monotonic.
            standing: of the pipeline.
        """
        segmented_s = standing.segmented_s
        serves = segmented_s is not None and now_s - segmented_s <= _FRESH_S
        if serves and self._last_s is not None:
            self.good_s += min(now_s - self._last_s, _FRESH_S)
        self._last_s = now_s
        if HealthCode.NETWORK_DRIFT in standing.faults:
            return "its INT8 masks differ from its FP16 masks beyond [drift] disagreement_limit"
        worse = self._worse(standing)
        if not worse:
            self._worse_since_s = None
        elif self._worse_since_s is None:
            self._worse_since_s = now_s
        elif now_s - self._worse_since_s >= self._update.slow_s:
            return f"{worse} for {self._update.slow_s:g} s"
        return ""

    def _worse(self, standing: Standing) -> str:
        if HealthCode.MODEL_INVALID in standing.faults:
            return "it did not pass its known-answer test"
        if HealthCode.STALLED in standing.faults:
            return "frames came and it segmented none"
        if standing.run_s is None or self._before_ms is None:
            return ""
        ms = standing.run_s * 1e3
        if ms <= self._before_ms * self._update.slower_limit:
            return ""
        return f"it took {ms:.0f} ms a run, the one before {self._before_ms:.0f} ms,"
