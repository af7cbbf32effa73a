"""What the plant saw in a replay: one JSON line for every change of a tag, and how two compare.

The first line tells what was replayed. Every other one holds the time in seconds since the
beginning, the camera, the tag, its value before and after, and the quality after; all begin as
null. `Frame/AgeMs` is left out: it changes by time alone, and time stands in each line.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TextIO

from contract.tags import TAGS, TagType

if TYPE_CHECKING:
    from contract.tags import Quality, Tag, Value
    from edge_runtime.plant.freshness import Published

__all__ = ["VERSION", "Transcript", "is_state", "shown_value"]

VERSION = 2
_DIGITS = 3  # significant: enough to see a change, few enough to read
_LEFT_OUT = "Frame/AgeMs"


def is_state(tag: Tag) -> bool:
    """Whether a tag says a state or an alarm: these are never thinned out."""
    return tag.type in (TagType.BOOL, TagType.U8) or tag.unit == "bits"


def shown_value(tag: Tag, value: Value) -> Any:
    """A value as it stands in a transcript."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, bytes):  # what came before the pixels' hash would be large and say little
        return hashlib.sha256(value).hexdigest()[:16]
    if isinstance(value, tuple):
        return list(value)
    if value is not None and tag.type is TagType.BOOL:
        return bool(value)
    return value


class Transcript:
    """Writes changes as they are told.

    Args:
        out: where the lines go.
        replayed: what the first line holds.
        values_every_s: seconds between two looks at tags that are no states, while quality stays;
            0 writes all.
    """

    def __init__(
        self, out: TextIO, replayed: dict[str, Any], *, values_every_s: float = 0.0
    ) -> None:
        self._out = out
        self._every_ns = round(values_every_s * 1e9)
        self._told: dict[tuple[str, str], Any] = {}
        self._next_ns: dict[str, int] = {}
        self._quality: dict[str, Quality] = {}
        self.lines = 0
        head = {"gasedge_transcript": VERSION, **replayed, "values_every_s": values_every_s}
        self._write(head)

    def tell(self, at_ns: int, shown: Published) -> None:
        """Write what changed since this camera was last told."""
        snapshot = shown.snapshot
        camera = snapshot.camera
        # what is unknown now must not seem to be known until the next look
        turned = self._quality.get(camera) is not snapshot.quality
        self._quality[camera] = snapshot.quality
        due = turned or at_ns >= self._next_ns.get(camera, 0)
        if due and self._every_ns:
            self._next_ns[camera] = (at_ns // self._every_ns + 1) * self._every_ns
        for tag in TAGS:
            if tag.name == _LEFT_OUT or not (due or is_state(tag)):
                continue
            new = shown_value(tag, snapshot.value(tag.name))
            place = camera, tag.name
            old = self._told.get(place)
            if old == new:
                continue
            self._told[place] = new
            self.lines += 1
            self._write(
                {
                    "t": round(at_ns / 1e9, 3),
                    "camera": camera,
                    "tag": tag.name,
                    "old": old,
                    "new": new,
                    "quality": snapshot.quality.name,
                }
            )

    def _write(self, line: dict[str, Any]) -> None:
        self._out.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
