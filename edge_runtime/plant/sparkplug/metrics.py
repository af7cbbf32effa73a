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

_SEEN = ("Leak", "Zone", "Frame", "Mask", "Drift")  # groups of tags
_CORNERS = ("X", "Y", "Width", "Height")
# UInt32 is nowhere: the specification puts it into a 32-bit field, Ignition and most hosts look for
# it in the 64-bit one (github.com/eclipse-sparkplug/sparkplug/issues/102). All agree on UInt64.
_TYPES = {
    TagType.BOOL: DataType.BOOLEAN,
    TagType.U8: DataType.UINT8,
    TagType.U16: DataType.UINT16,
    TagType.U32: DataType.UINT64,
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
    part: int | None  # of a box
    is_own_word: bool  # the plant process' own: good even when nothing else is
    is_seen: bool  # in frames
    transient: bool  # of now only, and not for a historian

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
    group = tag.name.partition("/")[0]
    own = tag.own or group == "Health"
    kind = (own, group in _SEEN, tag.type is TagType.BYTES)
    if tag.type is TagType.BOX:
        for part, corner in enumerate(_CORNERS):
            yield TagMetric(f"{tag.name}/{corner}", tag, part, *kind)
    else:
        yield TagMetric(tag.name, tag, None, *kind)


METRICS: tuple[TagMetric, ...] = tuple(each for tag in TAGS for each in _of_tag(tag))


def current(shown: Published, now_ms: int) -> Iterator[tuple[TagMetric, Scalar, int, int]]:
    """Every metric of a camera as it is now: its row, value, quality and time in ms, UTC.

    A value carries the capture time of its frame; that there is none, that one is only held, and
    what the device says of itself carry the time at which that is said.
    """
    snapshot = shown.snapshot
    captured_ms = snapshot.source_time_ns // 1_000_000
    seen_quality, fact_quality = _qualities(shown)
    for row in METRICS:
        quality = GOOD
        if not row.is_own_word:
            quality = seen_quality if row.is_seen else fact_quality
        value = row.taken_from(snapshot.value(row.tag.name))
        seen = quality == GOOD and value is not None and not row.is_own_word
        yield row, value, quality, captured_ms if seen else now_ms


def _qualities(shown: Published) -> tuple[int, int]:
    """Of what is seen in frames, and of facts about camera and model."""
    if not shown.heard:
        return BAD, BAD
    quality = shown.snapshot.quality
    return {Quality.STALE: STALE, Quality.BAD: BAD}.get(quality, GOOD), GOOD
