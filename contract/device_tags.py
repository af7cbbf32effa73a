"""The rows of the tag table about the device itself and its daily check."""

from __future__ import annotations

from contract.tag import Tag, TagType

__all__ = ["CHECK_ROWS", "DEVICE_ROWS"]

DEVICE_ROWS: tuple[Tag, ...] = (
    Tag(
        "Device/TempC",
        TagType.F32,
        "degC",
        "Hottest place of the device; null where it has no sensor",
        unknown=None,
        register=56,
        own=True,
    ),
    Tag(
        "Device/PowerW",
        TagType.F32,
        "W",
        "Power that the device takes; null where nothing measures it",
        unknown=None,
        register=58,
        own=True,
    ),
    Tag(
        "Device/PowerMode",
        TagType.TEXT,
        "",
        "Power mode of a Jetson, as nvpmodel names it; null elsewhere",
        unknown=None,
        own=True,
    ),
    Tag(
        "Device/Throttled",
        TagType.BOOL,
        "",
        "The device holds its processors back, because of heat or current",
        unknown=False,
        discrete=14,
        own=True,
    ),
    Tag(
        "Device/DiskFreeMb",
        TagType.U32,
        "MiB",
        "Free room where state and evidence are kept, by tens; of two disks the fuller one's",
        unknown=None,
        register=60,
        own=True,
    ),
    Tag(
        "Device/ClockBad",
        TagType.BOOL,
        "",
        "The clock was never set, just stepped, or no time server keeps it",
        unknown=True,
        discrete=15,
        own=True,
    ),
)

CHECK_ROWS: tuple[Tag, ...] = (
    Tag(
        "Verify/LastTime",
        TagType.TIME,
        "UTC",
        "When the daily check of network and view ended last, null before the first",
        unknown=None,
        register=64,
    ),
    Tag(
        "Verify/LastResult",
        TagType.U8,
        "",
        "0 passed, 1 the network answers wrongly, 2 not the view of the reference, "
        "3 no view to compare",
        unknown=None,
        register=68,
    ),
)
