"""A simulated camera for drills: a scene with a plume or none, whose camera fails at set times."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.uri import Option, SourceUri

    Spoil = Callable[[NDArray[np.uint8]], NDArray[np.uint8] | None]

__all__ = ["Drill", "drills", "simulated_pictures"]

_DRILL = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault of the camera and when it stands, in seconds of the scene."""

    fault: str
    begin_s: float
    end_s: float


def drills(text: str) -> tuple[Drill, ...]:
    """Read `dark@4..7,lost@9..`: fault, beginning and end in seconds, no end for to the last.

    Raises:
        ValueError: when it is no such text.
    """
    found = []
    for part in text.split(","):
        match = _DRILL.fullmatch(part)
        if match is None or match[1] not in _SPOIL:
            raise ValueError(
                f"fault is FAULT@FROM..TO in seconds, as in dark@4..7,lost@9..; FAULT is one of "
                f"{', '.join(_SPOIL)}, not {part!r}"
            )
        begin_s, end_s = float(match[2]), float(match[3]) if match[3] else np.inf
        if end_s <= begin_s:
            raise ValueError(f"fault {part!r} ends before it begins")
        found.append(Drill(match[1], begin_s, end_s))
    return tuple(found)


def simulated_pictures(uri: SourceUri, fps: float) -> Iterator[NDArray[np.uint8] | None]:
    """Pictures (h, w, 3) of a simulated scene, endless unless `frames` is given.

    Args:
        uri: the source, with its options.
        fps: rate at which they count as taken.

    Yields:
        None where the camera is lost and gives no picture.
    """
    from contract.simulated_scene import SimulatedScene

    options = uri.options
    onset_s = options.get("onset")
    scene = SimulatedScene(
        kind=str(options.get("kind", "gas")),
        width=int(options.get("width", 320)),
        height=int(options.get("height", 240)),
        seed=int(options.get("seed", 0)),
        # who says when it begins wants one
        plume=_wish(options, "plume", default=None if onset_s is None else True),
        onset=None if onset_s is None else round(float(onset_s) * fps),
        distractors=_wish(options, "distractors"),
        large=bool(options.get("large", False)),
    )
    faults = drills(str(options["fault"])) if "fault" in options else ()
    frames = options.get("frames")
    shown = None
    for index in itertools.count() if frames is None else range(int(frames)):
        standing = [d.fault for d in faults if d.begin_s <= index / fps < d.end_s]
        frozen = "frozen" in standing and shown is not None
        picture = shown if frozen else scene.frame(index)[0]
        shown = picture
        for fault in standing:
            picture = None if picture is None else _SPOIL[fault](picture)
        yield picture


def _wish(options: dict[str, Option], name: str, *, default: bool | None = None) -> bool | None:
    """Whether something is wished, None leaves it to the seed."""
    return bool(options[name]) if name in options else default


def _dark(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What noise a sensor has without light."""
    return np.asarray(picture >> 5, np.uint8)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    cv2 = need("cv2", extra="cpu")
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 12), np.uint8)


_SPOIL: dict[str, Spoil] = {
    "dark": _dark,
    "saturated": lambda picture: picture | np.uint8(0xFC),
    "blurred": _blurred,
    "frozen": lambda picture: picture,
    "half": lambda picture: np.ascontiguousarray(picture[::2, ::2]),
    "lost": lambda _: None,
}
"""Fault -> what it makes of a picture; None gives none."""
