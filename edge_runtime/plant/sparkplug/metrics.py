"""From the one tag table to Sparkplug metrics: names, datatypes, values, quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from contract.tags import TAGS, Quality, TagType
from edge_runtime.plant.sparkplug.wire import DataType, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.tags import Tag, Value
    from edge_runtime.plant.freshness import Published

__all__ = ["BAD", "GOOD", "METRICS", "STALE", "Scalar", "TagMetric", "current"]

BAD, GOOD, STALE = 0, 192, 500
"""The three values that the property Quality may have."""

Scalar = bool | float | str | bytes | None

_LEAK_DATA = ("Leak", "Zone", "Frame", "Mask")  # what is seen in frames
_CORNERS = ("X", "Y", "Width", "Height")
_TYPES = {
    TagType.BOOL: DataType.BOOLEAN,
    TagType.U8: DataType.UINT8,
    TagType.U16: DataType.UINT16,
    TagType.U32: DataType.UINT32,
    TagType.U64: DataType.UINT64,
    TagType.F32: DataType.FLOAT,
    TagType.TIME: DataType.DATETIME,
    TagType.TEXT: DataType.STRING,
    TagType.BYTES: DataType.BYTES,
    TagType.BOX: DataType.UINT16,
}


@dataclass(frozen=True, slots=True)
class TagMetric:
    """A tag, or one of the four numbers of a box, as a metric."""

    name: str
    tag: Tag
    part: int | None = None  # of a box

    @property
    def group(self) -> str:
        """The first part of its name."""
        return self.name.partition("/")[0]

    @property
    def transient(self) -> bool:
        """Whether it is of now only, and not for a historian."""
        return self.tag.type is TagType.BYTES

    def metric(self, value: Scalar, quality: int | None, at_ms: int) -> Metric:
        """As it is told, by its name; good quality need not be mentioned."""
        return Metric(
            name=self.name,
            timestamp_ms=at_ms,
            datatype=_TYPES[self.tag.type],
            value=value,
            transient=self.transient,
            quality=quality,
            content_type="application/x-gem1" if self.transient else "",
            unit=self.tag.unit,
        )

    def taken_from(self, value: Value) -> Scalar:
        """The metric's value from the tag's."""
        if value is None:
            return None
        if self.part is not None:
            return cast("tuple[int, ...]", value)[self.part]
        if self.tag.type is TagType.TIME:
            return cast("int", value) // 1_000_000
        return cast("Scalar", value)


def _of_tag(tag: Tag) -> Iterator[TagMetric]:
    if tag.type is TagType.BOX:
        for part, corner in enumerate(_CORNERS):
            yield TagMetric(f"{tag.name}/{corner}", tag, part)
    else:
        yield TagMetric(tag.name, tag)


METRICS: tuple[TagMetric, ...] = tuple(each for tag in TAGS for each in _of_tag(tag))


def current(shown: Published, now_ms: int) -> Iterator[tuple[TagMetric, Scalar, int, int]]:
    """Every metric of a camera as it is now: its row, value, quality and time in ms, UTC.

    A value carries the capture time of its frame; that there is none, that one is only held, and
    what the device says of itself carry the time at which that is said.
    """
    snapshot = shown.snapshot
    captured_ms = snapshot.source_time_ns // 1_000_000
    qualities: dict[str, int] = {}
    for row in METRICS:
        if row.group not in qualities:
            qualities[row.group] = _quality(row.group, shown)
        quality = qualities[row.group]
        value = row.taken_from(snapshot.value(row.tag.name))
        seen = quality == GOOD and value is not None and row.group != "Health"
        yield row, value, quality, captured_ms if seen else now_ms


def _quality(group: str, shown: Published) -> int:
    """What the device says of its own health is good even when nothing else is."""
    if group == "Health":
        return GOOD
    if not shown.heard:
        return BAD
    if group not in _LEAK_DATA:
        return GOOD
    quality = shown.snapshot.quality
    return {Quality.STALE: STALE, Quality.BAD: BAD}.get(quality, GOOD)
