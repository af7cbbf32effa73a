"""Which frames ranges are taken from, and which sets are refused.

Ranges decide what INT8 can see. Frames of the wrong kind give a network that looks well and misses
gas, so a set that is too small, repeated, noise, blank, or the control set itself is refused.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import InputError
from contract.packages import need
from contract.pictures import pictures_in, read_picture
from contract.recorded_scores import pixels_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["MINIMUM", "FrameFacts", "choose_frames", "require_disjoint", "require_sound", "study"]

MINIMUM = 16
_log = logging.getLogger(__name__)
_NEIGHBOURS_AGREE = 0.2  # correlation of neighbouring pixels: 0 in noise, above 0.8 in pictures
_BLANK = 1.0  # standard deviation in grey levels
_GREY = 2.0  # mean difference of the channels, in levels, below which a frame is grey
_SIDE = 16  # of the thumbnail that two pictures are compared by
# Correlation of thumbnails. On 700 real tower-camera pictures those of different scenes reach 0.971
# (on 1000 composites 0.986) and half of those of one scene lie above 0.9999.
_ALIKE = 0.99


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known of one picture, without its pixels."""

    path: Path
    sha256: str  # of the decoded pixels
    look: NDArray[np.float32]  # (256,) grey thumbnail, mean 0 and length 1
    neighbours: float  # smaller correlation of the two directions, -1..1
    deviation: float  # grey levels
    brightness: float  # mean grey level, 0..255
    grey: bool  # all channels alike


def choose_frames(folder: Path, *, only: Sequence[str] | None, count: int, seed: int) -> list[Path]:
    """Pictures of `folder`, or of its `images/`; at most `count`, drawn by `seed`, sorted by name.

    Raises:
        InputError: when the folder is missing or holds too few, or a stem of `only` is not there.
    """
    files = pictures_in(folder / "images" if (folder / "images").is_dir() else folder)
    if only is not None:
        by_stem = {file.stem: file for file in files}
        if absent := [stem for stem in only if stem not in by_stem]:
            raise InputError(f"{folder}: holds no picture {_some(absent)}")
        files = sorted(by_stem[stem] for stem in set(only))
    if len(files) < MINIMUM:
        raise InputError(
            f"{folder}: {len(files)} frames are too few to calibrate on; give at least {MINIMUM}, "
            "better 200, with smoke or gas as the camera will see it"
        )
    if len(files) > count:
        files = sorted(random.Random(seed).sample(files, count))
    return files


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
            f"{frames[0].path.parent}: {_some(blank)} show nothing (one even grey); a covered or "
            "dark camera says nothing about gas, remove them"
        )
    if noise := [f.path.name for f in frames if f.neighbours < _NEIGHBOURS_AGREE]:
        raise InputError(
            f"{frames[0].path.parent}: {_some(noise)} are random data: neighbouring pixels do not "
            "resemble each other; calibrate on real frames"
        )


def require_disjoint(frames: Sequence[FrameFacts], control: Sequence[FrameFacts]) -> None:
    """Refuse frames that also stand in the control set, or look like one of its pictures.

    Raises:
        InputError: naming the pictures.
    """
    known = {each.sha256: each.path.name for each in control}
    looks = np.stack([each.look for each in control])
    same: list[str] = []
    for frame in frames:
        alike = looks @ frame.look
        nearest = int(alike.argmax())
        if frame.sha256 in known:
            same.append(f"{frame.path.name} = {known[frame.sha256]}")
        elif alike[nearest] > _ALIKE:
            same.append(f"{frame.path.name} ~ {control[nearest].path.name}")
    if same:
        raise InputError(
            f"{frames[0].path.parent}: {len(same)} of {len(frames)} frames also stand in the "
            f"control set or look alike ({_some(same)}); scores there would prove nothing, split "
            "by scene"
        )


def _facts(path: Path) -> FrameFacts:
    cv2 = need("cv2", extra="export")
    picture = read_picture(path)
    grey = picture.mean(axis=2, dtype=np.float32)
    look = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel()
    look -= look.mean()
    spread = picture.max(axis=2).astype(np.int16) - picture.min(axis=2)
    return FrameFacts(
        path=path,
        sha256=pixels_sha256(picture),
        look=look / max(float(np.linalg.norm(look)), 1e-6),
        neighbours=min(_correlation(grey[:, 1:], grey[:, :-1]), _correlation(grey[1:], grey[:-1])),
        deviation=float(grey.std()),
        brightness=float(grey.mean()),
        grey=float(spread.mean()) < _GREY,
    )


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.size < 2 or one.std() == 0 or other.std() == 0:
        return 1.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
