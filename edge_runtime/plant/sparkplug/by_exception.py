"""What is worth a message: states at once, numbers when they moved, counters each second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from contract.tags import TagType
from edge_runtime.plant.sparkplug.metrics import GOOD, current

if TYPE_CHECKING:
    from edge_runtime.plant.freshness import Published
    from edge_runtime.plant.sparkplug.metrics import Scalar, TagMetric
    from edge_runtime.plant.sparkplug.wire import Metric

__all__ = ["Reporter"]

_COUNTER_S = 1.0  # seconds between two reports of what changes with every frame
_MASK_S = 0.5
_DRIFTED_S = 60.0  # a change within the deadband is told this late
_BACK_MS = 5000  # an older time than the last one's is corrected by so much at most

_COUNTERS = (
    "Frame/",
    "Drift/",
    "Outbox/",
    "Health/Heartbeat",
    "Leak/BBox",
    "Leak/AreaPx",
    "Leak/DurationS",
    "Leak/Count",
)
_DEADBANDS = (  # of names that begin so: absolute, and as a share of what was told last
    ("Leak/AreaFraction", 0.0001, 0.05),
    ("Zone/AreaFraction", 0.0001, 0.05),
    ("Leak/Growth", 0.0001, 0.05),
    ("Leak/DriftDeg", 5.0, 0.0),
    ("Leak/", 0.02, 0.0),  # score, centre and source
)
_OTHER_DEADBAND = (0.0, 0.05)


@dataclass(frozen=True, slots=True)
class _Told:
    at_s: float
    value: Scalar
    quality: int
    at_ms: int


class Reporter:
    """Remembers what was told of one camera. Seconds are of the monotonic clock, ms are UTC.

    Args:
        masks: whether masks are told at all.
    """

    def __init__(self, *, masks: bool) -> None:
        self._masks = masks
        self._told: dict[str, _Told] = {}

    def birth(self, shown: Published, now_s: float, now_ms: int) -> list[Metric]:
        """Every metric as it is now; what comes later is compared with this."""
        self._told.clear()
        return self.changes(shown, now_s, now_ms)

    def changes(self, shown: Published, now_s: float, now_ms: int) -> list[Metric]:
        """What changed enough, or long enough ago, to be told."""
        found = []
        for row, value, quality, at_ms in current(shown, now_ms):
            if row.transient and not self._masks:
                continue
            told = self._told.get(row.name)
            if told is not None:
                if value == told.value and quality == told.quality:
                    continue
                urgent = quality != told.quality or value is None or told.value is None
                if not urgent and not _is_due(row, value, told, now_s - told.at_s):
                    continue
                # times of one metric go forward; a clock set back far is told as it is
                if 0 < told.at_ms - at_ms <= _BACK_MS:
                    at_ms = told.at_ms  # noqa: PLW2901 - the same time, mended
            self._told[row.name] = _Told(now_s, value, quality, at_ms)
            # no quality means good; after another one that is said, for hosts that remember
            unsaid = quality == GOOD and (told is None or told.quality == GOOD)
            found.append(row.metric(value, None if unsaid else quality, at_ms))
        return found


def _is_due(row: TagMetric, value: Scalar, told: _Told, age_s: float) -> bool:
    """Whether a change of a known value of the same quality is told now."""
    if row.transient:
        return age_s >= _MASK_S
    if row.name.startswith(_COUNTERS):
        return age_s >= _COUNTER_S
    if row.tag.type is not TagType.F32:
        return True
    new, old = cast("float", value), cast("float", told.value)
    absolute, relative = next(
        (band for name, *band in _DEADBANDS if row.name.startswith(name)), _OTHER_DEADBAND
    )
    return abs(new - old) >= max(absolute, relative * abs(old)) or age_s >= _DRIFTED_S
