"""What is known of a picture without its pixels, and which pictures are refused.

Ranges decide what INT8 can see. Frames of the wrong kind give a network that looks well and misses
gas, so a set that holds a picture twice, noise or blank pictures is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import InputError
from contract.grey_histogram import grey_shares
from contract.packages import need
from contract.pictures import pixels_sha256, read_picture
from contract.same_view import look_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FrameFacts", "require_sound", "some", "spread", "study"]

# Correlation of neighbouring pixels of the coarse picture: 0 in noise, 0.84 or more in 400 pictures
# of real smoke, 0.64 or more in as many simulated ones with gravel.
_NEIGHBOURS_AGREE = 0.2
_BLANK = 1.0  # standard deviation in grey levels
_GREY = 2.0  # mean difference of any channel from grey, in levels, below which a frame is grey
_NIGHT = 60.0  # mean grey level below which a camera of visible light sees night


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known of one picture, without its pixels."""

    path: Path
    sha256: str  # of the decoded pixels
    look: NDArray[np.float32]  # (1024,) as of contract.same_view
    neighbours: float  # of the coarse picture, smaller correlation of the two directions, -1..1
    deviation: float  # grey levels
    brightness: float  # mean grey level, 0..255
    grey: bool  # all channels alike
    greys: NDArray[np.float64]  # (GREY_BINS,) as of contract.grey_histogram

    @property
    def night(self) -> bool:
        """A dark picture of visible light."""
        return not self.grey and self.brightness < _NIGHT


def study(files: Sequence[Path], *, doing: str) -> list[FrameFacts]:
    """Read pictures and keep what tells them apart.

    Raises:
        InputError: when a picture cannot be read.
    """
    return [_facts(file) for file in tqdm(files, desc=doing, unit="frame", delay=2)]


def require_sound(frames: Sequence[FrameFacts]) -> None:
    """Refuse sets that hold a picture twice, noise, or blank pictures.

    Raises:
        InputError: naming the pictures.
    """
    first: dict[str, Path] = {}
    for frame in frames:
        if other := first.get(frame.sha256):
            raise InputError(
                f"{frame.path}: is the same picture as {other.name}; repeated frames count once, "
                "remove them"
            )
        first[frame.sha256] = frame.path
    if blank := [f.path.name for f in frames if f.deviation < _BLANK]:
        raise InputError(
            f"{frames[0].path.parent}: {some(blank)} show nothing (one even grey); a covered or "
            "dark camera says nothing about gas, remove them"
        )
    if noise := [f.path.name for f in frames if f.neighbours < _NEIGHBOURS_AGREE]:
        raise InputError(
            f"{frames[0].path.parent}: {some(noise)} are random data: neighbouring pixels do not "
            "resemble each other; calibrate on real frames"
        )


def _facts(path: Path) -> FrameFacts:
    cv2 = need("cv2", extra="export")
    picture = read_picture(path)
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    coarse = _coarse(grey).astype(np.float32)
    blue, green, red = (cv2.mean(cv2.absdiff(grey, each))[0] for each in cv2.split(picture))
    return FrameFacts(
        path=path,
        sha256=pixels_sha256(picture),
        look=look_of(picture),
        neighbours=min(
            _correlation(coarse[:, 1:], coarse[:, :-1]), _correlation(coarse[1:], coarse[:-1])
        ),
        deviation=float(cv2.meanStdDev(grey)[1][0, 0]),
        brightness=float(cv2.mean(grey)[0]),
        grey=max(blue, green, red) < _GREY,
        greys=grey_shares(picture),
    )


def _coarse(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A quarter as wide, where that leaves 32 pixels: gravel has a shape there, noise has none."""
    cv2 = need("cv2", extra="export")
    height, width = grey.shape
    times = max(1, min(4, min(height, width) // 32))
    size = (width // times, height // times)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.size < 2 or one.std() == 0 or other.std() == 0:
        return 1.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def spread(length: int, most: int) -> list[int]:
    """At most so many positions of a row, evenly spread, its first and last among them."""
    return sorted({round(each) for each in np.linspace(0, length - 1, min(length, most))})


def some(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
