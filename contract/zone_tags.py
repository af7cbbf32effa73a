"""The rows that each zone of a camera has in the tag table."""

from __future__ import annotations

from contract.camera_health import LeakState
from contract.tag import Tag, TagType

__all__ = ["ZONES", "zone_rows"]

ZONES = 8
"""Zones of a camera at most."""


def zone_rows(number: int) -> tuple[Tag, Tag, Tag, Tag]:
    """State, area, name and alarm of the zone that stands at this place in the configuration."""
    return (
        Tag(
            f"Zone/State{number}",
            TagType.U8,
            "",
            f"As Leak/State, of the camera's zone {number}; 255 where there is no such zone",
            unknown=LeakState.UNKNOWN.value,
            register=89 + number,
        ),
        Tag(
            f"Zone/AreaFraction{number}",
            TagType.F32,
            "0..1",
            f"Gas pixels in zone {number} as a share of the whole valid field",
            unknown=None,
            scaled_register=99 + number,
            scale=10000,
        ),
        Tag(f"Zone/Name{number}", TagType.TEXT, "", f"Name of zone {number}", unknown=None),
        Tag(
            f"Zone/AlarmState{number}",
            TagType.U8,
            "",
            f"As Leak/AlarmState, of zone {number}; all bits set where there is no such zone",
            unknown=None,
            register=116 + number,
            own=True,
        ),
    )
