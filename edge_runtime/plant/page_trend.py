"""The last half hour of each camera's gas area, with gaps wherever nobody was looking."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from contract.tags import CameraSnapshot, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SAMPLE_S", "Trend"]

SAMPLE_S = 2.0
_SAMPLES = 900


class Trend:
    """One ring of samples a camera.

    Args:
        cameras: their names.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        self._rings: dict[str, deque[tuple[int, float | None, int]]] = {
            name: deque(maxlen=_SAMPLES) for name in cameras
        }

    def add(self, snapshot: CameraSnapshot, now_ns: int) -> None:
        """Take in what is shown of a camera at `now_ns`, UTC; old values are gaps."""
        area = snapshot.value("Leak/AreaFraction")
        state = snapshot.value("Leak/State")
        fresh = snapshot.quality in (Quality.GOOD, Quality.UNCERTAIN)
        self._rings[snapshot.camera].append(
            (
                now_ns // 1_000_000,
                round(area, 6) if fresh and isinstance(area, float) else None,
                state if fresh and isinstance(state, int) else 255,
            )
        )

    def of(self, camera: str) -> dict[str, Any]:
        """`t_ms` (UTC), `area` (share of the field, None is a gap), `state`, oldest first.

        Raises:
            KeyError: for a camera that is not configured.
        """
        ring = self._rings[camera]
        return {
            "span_ms": round(_SAMPLES * SAMPLE_S * 1000),
            "t_ms": [each[0] for each in ring],
            "area": [each[1] for each in ring],
            "state": [each[2] for each in ring],
        }
