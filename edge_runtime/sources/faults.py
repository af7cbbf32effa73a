"""Faults that a simulated camera has at set times, so that an alarm can be rehearsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Spoil = Callable[[NDArray[np.uint8]], NDArray[np.uint8] | None]

__all__ = ["SPOIL", "Fault", "faults"]

_FAULT = re.compile(r"([a-z]+)@(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the camera and when it stands, in seconds of the scene."""

    kind: str  # one of SPOIL
    begin_s: float
    end_s: float


def faults(text: str) -> tuple[Fault, ...]:
    """Read `dark@4..7,lost@9..`: fault, beginning and end in seconds, no end for to the last.

    Raises:
        ValueError: when it is no such text.
    """
    found = []
    for part in text.split(","):
        match = _FAULT.fullmatch(part)
        if match is None or match[1] not in SPOIL:
            raise ValueError(
                f"fault is FAULT@FROM..TO in seconds, as in dark@4..7,lost@9..; FAULT is one of "
                f"{', '.join(SPOIL)}, not {part!r}"
            )
        begin_s, end_s = float(match[2]), float(match[3]) if match[3] else np.inf
        if end_s <= begin_s:
            raise ValueError(f"fault {part!r} ends before it begins")
        found.append(Fault(match[1], begin_s, end_s))
    return tuple(found)


def _dark(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What noise a sensor has without light."""
    return np.asarray(picture >> 5, np.uint8)


def _blurred(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    cv2 = need("cv2", extra="cpu")
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 12), np.uint8)


SPOIL: dict[str, Spoil] = {
    "dark": _dark,
    "saturated": lambda picture: picture | np.uint8(0xFC),
    "blurred": _blurred,
    "frozen": lambda picture: picture,
    "half": lambda picture: np.ascontiguousarray(picture[::2, ::2]),
    "lost": lambda _: None,
}
"""Fault -> what it makes of a picture; None gives none."""
