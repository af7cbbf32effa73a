"""Videos with a mask a frame: a folder of numbered masks, or a second video.

Beside `clip.mp4` lie `clip_masks/` or `clip/` with a picture of a mask a frame, numbered from 0, or
`clip_mask.mp4`; or `--masks` says where. Frames without a mask are left out. A video of masks is
packed with loss, so its brighter half counts as gas or smoke. The clip is the group.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.pictures import pictures_in
from contract.video import VideoFile
from train.formats.folder_writer import Sample, safe_stem
from train.formats.masks import mask_reader
from train.formats.request import Imported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from train.formats.request import ImportRequest

__all__ = ["is_video", "read_video"]

_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
_HALF = 128
_MASKS = ("_masks", "_mask")


def is_video(source: Path) -> bool:
    """Whether the source is a video or a folder of some."""
    return bool(_clips(source))


def read_video(request: ImportRequest) -> Imported:
    """Open one video or a folder of videos.

    Raises:
        InputError: when there is none, or one has no masks.
        ConfigError: when the request needs or contradicts something.
    """
    clips = _clips(request.source)
    if not clips:
        raise InputError(f"{request.source}: is no video and holds none ({', '.join(_SUFFIXES)})")
    if request.masks and len(clips) > 1:
        raise ConfigError(f"--masks is for one video; {request.source} holds {len(clips)}")
    masks = {clip: request.masks or _masks_beside(clip) for clip in clips}
    numbered = {clip: _numbered(path) for clip, path in masks.items() if path.is_dir()}
    labelled = frozenset({BACKGROUND, GAS_SMOKE})
    read: Callable[[Path], NDArray[np.uint8]] | None = None
    if numbered:
        if len(numbered) < len(clips):
            raise ConfigError(f"{request.source}: some masks are pictures and some are videos")
        every_mask = [path for one in numbered.values() for path in one.values()]
        labelled, read = mask_reader(request, every_mask)
    elif request.classes:
        raise ConfigError("--map has no part in a video of masks, which is black and white")

    def samples() -> Iterator[Sample]:
        for clip in tqdm(clips, "clips", delay=2):
            if read:
                pairs = _with_pictures(clip, numbered[clip], read, request.every or 1)
            else:
                pairs = _with_video(clip, masks[clip], request)
            for number, picture, mask in pairs:
                stem = safe_stem(f"{clip.stem}/{number:06d}.png")
                yield Sample(stem, clip.stem, picture, mask)

    return Imported(labelled, samples())


Frame = tuple[int, "NDArray[np.uint8]", "NDArray[np.uint8]"]  # number, picture, class indices


def _clips(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() in _SUFFIXES else []
    if not source.is_dir():
        return []
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in _SUFFIXES)
    return [path for path in files if not path.stem.endswith(_MASKS)]


def _masks_beside(clip: Path) -> Path:
    folders = [clip.with_name(clip.stem + end) for end in (*_MASKS, "")]
    files = [clip.with_name(clip.stem + end + suffix) for end in _MASKS for suffix in _SUFFIXES]
    for path in folders:
        if path.is_dir():
            return path
    for path in files:
        if path.is_file():
            return path
    raise InputError(
        f"{clip}: no masks beside it; expected the folder {clip.stem}_masks/ or a video "
        f"{clip.stem}_mask{clip.suffix}, or say where with --masks"
    )


def _numbered(folder: Path) -> dict[int, Path]:
    """Masks by the number at the end of their names."""
    masks: dict[int, Path] = {}
    for path in pictures_in(folder):
        number = re.search(r"\d+$", path.stem)
        if number is None or int(number.group()) in masks:
            raise InputError(f"{path}: its name ends in no frame number of its own; number it")
        masks[int(number.group())] = path
    return masks


def _with_pictures(
    clip: Path, masks: dict[int, Path], read: Callable[[Path], NDArray[np.uint8]], every: int
) -> Iterator[Frame]:
    seen = -1
    with VideoFile(clip) as video:
        for number, picture in video.frames():
            seen = number
            if number in masks and number % every == 0:
                yield number, picture, read(masks[number])
    if beyond := [path for number, path in masks.items() if number > seen]:
        first = " (frames are numbered from 0)" if seen + 1 in masks else ""
        raise InputError(
            f"{beyond[0]}: the video {clip.name} has no such frame: its last is {seen}{first}; "
            "number the masks as the frames"
        )


def _with_video(clip: Path, masks: Path, request: ImportRequest) -> Iterator[Frame]:
    at = request.threshold or _HALF
    every = request.every or 1
    with VideoFile(clip) as video, VideoFile(masks) as truth:
        others = truth.frames()
        number = -1
        for number, picture in video.frames():
            _, drawn = next(others, (0, None))
            if drawn is None:
                raise InputError(f"{masks}: ends at frame {number}, before {clip.name} does")
            if number % every == 0:
                yield (
                    number,
                    picture,
                    np.where(drawn[..., 1] >= at, GAS_SMOKE, BACKGROUND).astype(np.uint8),
                )
        if next(others, None) is not None:
            raise InputError(f"{masks}: goes on after frame {number}, the last of {clip.name}")
