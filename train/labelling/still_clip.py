"""A clip as runs of consecutive frames: a video file, or a folder whose names count the frames."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import InputError
from contract.packages import need
from contract.pictures import picture_folder, pictures_in, read_picture
from contract.video import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["StillClip", "runs_of"]

_MEMORY_BYTES = 2 << 30  # of grey frames
_LAST_NUMBER = re.compile(r"(\d+)(?=\D*$)")


@dataclass(frozen=True, slots=True)
class StillClip:
    """Frames in order of time, cut into runs without a gap."""

    source: Path
    stems: tuple[str, ...]
    runs: dict[str, tuple[int, ...]]  # name -> positions of consecutive frames
    grey: NDArray[np.uint8]  # (n, h, w)
    files: tuple[Path, ...]  # of a folder's pictures; empty for a video
    every: int

    @classmethod
    def open(cls, source: Path, every: int = 1) -> StillClip:
        """Read all frames.

        Args:
            source: a video, a folder of pictures, or a folder that has them in `images/`.
            every: take every so many-th frame of a video; a folder is taken whole.

        Raises:
            InputError: when it cannot be read, its pictures differ in size, or there are too many
                for the memory.
        """
        if not source.exists():
            raise InputError(f"{source}: is not there; give a video or a folder of frames")
        if source.is_file():
            return cls._of_video(source, every)
        folder = picture_folder(source)
        files = pictures_in(folder)
        if every > 1:
            raise InputError(f"{source}: is a folder; leave --every out or thin the folder out")
        stems = [file.stem for file in files]
        order = sorted(range(len(files)), key=lambda at: _counted(stems[at]))
        files = [files[at] for at in order]
        stems = [stems[at] for at in order]
        frames = (read_picture(file) for file in files)
        names = [file.name for file in files]
        grey = _grey(source, frames, names)
        return cls(source, tuple(stems), runs_of(stems), grey, tuple(files), 1)

    @classmethod
    def _of_video(cls, source: Path, every: int) -> StillClip:
        numbers: list[int] = []

        def frames(video: VideoFile) -> Iterator[NDArray[np.uint8]]:
            for number, picture in video.frames(every):
                numbers.append(number)
                yield picture

        with VideoFile(source) as video:
            grey = _grey(source, frames(video), [])
        name = re.sub(r"[^\w.-]+", "-", source.stem).lstrip(".-") or "clip"
        stems = tuple(f"{name}-{number:06d}" for number in numbers)
        return cls(source, stems, {name: tuple(range(len(stems)))}, grey, (), every)

    def pictures(self) -> Iterator[Path | NDArray[np.uint8]]:
        """Each frame in turn: the file of a folder's, (h, w, 3) BGR of a video's."""
        if self.files:
            yield from self.files
            return
        with VideoFile(self.source) as video:
            for _, picture in video.frames(self.every):
                yield picture


def runs_of(stems: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Cut frames, in order of time, where their numbers leave a gap.

    A stem's frame number is its last number; what stands before names the clip. The usual step
    between two frames of a clip is the most frequent one; a longer one begins a new run. Stems
    without numbers are one run.

    Returns:
        Name of the run (its first stem) -> positions in `stems`.
    """
    counted = [_counted(stem) for stem in stems]
    steps: dict[str, Counter[int]] = {}
    for (clip, number), (other, after) in pairwise(counted):
        if clip == other:
            steps.setdefault(clip, Counter())[after - number] += 1
    runs: list[list[int]] = []
    for at, (clip, number) in enumerate(counted):
        before = counted[at - 1] if at else None
        usual = steps[clip].most_common(1)[0][0] if clip in steps else 0
        if before is None or before[0] != clip or number - before[1] > usual:
            runs.append([])
        runs[-1].append(at)
    return {stems[run[0]]: tuple(run) for run in runs}


def _counted(stem: str) -> tuple[str, int]:
    found = _LAST_NUMBER.search(stem)
    return (stem[: found.start()], int(found.group())) if found else ("", 0)


def _grey(
    source: Path, frames: Iterator[NDArray[np.uint8]], names: Sequence[str]
) -> NDArray[np.uint8]:
    cv2 = need("cv2", extra="train")
    grey: list[NDArray[np.uint8]] = []
    allowed = _MEMORY_BYTES
    for picture in tqdm(frames, f"read {source.name}", len(names) or None, delay=2):
        one = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        if grey and one.shape != grey[0].shape:
            raise InputError(
                f"{source}: {names[len(grey)]} is {one.shape[1]}x{one.shape[0]}, the frames "
                f"before it are {grey[0].shape[1]}x{grey[0].shape[0]}; give one camera at a time"
            )
        grey.append(one)
        allowed -= one.nbytes
        if allowed < 0:
            raise InputError(
                f"{source}: its frames fill more than {_MEMORY_BYTES >> 30} GiB; "
                "cut it, or take fewer frames of a video with --every"
            )
    return np.stack(grey)
