"""Where two transcripts differ in what matters: states and their times, and figures by far.

Masks of two kinds of CPU may differ by a pixel, so figures may differ a little; a state, an alarm
or its time may not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from contract.errors import InputError
from contract.tags import TAGS, TagType
from edge_runtime.replay.transcript import VERSION, is_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FIGURES_WITHIN", "differences", "read_transcript"]

FIGURES_WITHIN = 0.1
"""Share by which figures of two machines may differ."""

_HAIR = 0.01  # figures of 0..1 that differ by less than this are alike however small they are
_FEW = 16  # and so are counts of pixels
_NOT_COMPARED = (TagType.TEXT, TagType.BYTES, TagType.BOX)
_COMPARED = {tag.name: tag for tag in TAGS if tag.type not in _NOT_COMPARED}

Line = dict[str, Any]


def read_transcript(path: Path) -> tuple[Line, list[Line]]:
    """The first line of a transcript and the others.

    Raises:
        InputError: when it is none.
    """
    try:
        head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        head["latency_s"], head["values_every_s"], head["cameras"]
        if head["gasedge_transcript"] != VERSION:
            raise InputError(f"{path}: is a transcript of another version: replay anew")
        for line in lines:
            line["t"], line["camera"], line["tag"], line["new"]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no transcript of a replay") from error
    return head, lines


def differences(expected: Path, found: Path, *, most: int = 20) -> list[str]:
    """One line for each camera and tag at a time at which the two transcripts disagree.

    A tag is told once at its first difference, and again only after the two agreed.

    Args:
        expected: transcript of before.
        found: transcript of now.
        most: lines at most.

    Raises:
        InputError: when one is no transcript, or they are of different replays.
    """
    (head, before), (now_head, now) = read_transcript(expected), read_transcript(found)
    for key in ("latency_s", "values_every_s", "cameras"):
        # clips may lie elsewhere, models may be others: that is what one compares
        then, this = ([*each[key]] if key == "cameras" else each[key] for each in (head, now_head))
        if then != this:
            raise InputError(f"{expected}: was replayed with {key} {then}, this with {this}")
    return list(islice(_differences(_by_time(before), _by_time(now)), most))


def _differences(before: dict[float, list[Line]], now: dict[float, list[Line]]) -> Iterator[str]:
    was: dict[tuple[str, str], Any] = {}
    has: dict[tuple[str, str], Any] = {}
    apart: set[tuple[str, str]] = set()
    for at in sorted({*before, *now}):
        for state, lines in ((was, before.get(at, [])), (has, now.get(at, []))):
            state.update({(line["camera"], line["tag"]): line["new"] for line in lines})
        for place in sorted({*was, *has}):
            camera, name = place
            if name not in _COMPARED or _alike(name, was.get(place), has.get(place)):
                apart.discard(place)
            elif place not in apart:
                apart.add(place)
                yield f"{at:9.3f} s  {camera} {name}: {was.get(place)} -> {has.get(place)}"


def _alike(name: str, one: Any, other: Any) -> bool:
    tag = _COMPARED[name]
    if one == other or is_state(tag) or tag.type is TagType.TIME or None in (one, other):
        return bool(one == other)
    if tag.unit == "deg":
        return bool(abs((one - other + 180) % 360 - 180) <= FIGURES_WITHIN * 180)
    within = _HAIR if tag.type is TagType.F32 and tag.unit == "0..1" else _FEW
    return bool(abs(one - other) <= max(within, FIGURES_WITHIN * max(abs(one), abs(other))))


def _by_time(lines: list[Line]) -> dict[float, list[Line]]:
    found: dict[float, list[Line]] = defaultdict(list)
    for line in lines:
        found[line["t"]].append(line)
    return found
