"""Score any way of running the network where there are no masks: on boxes, tiles and clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.box_scores import BoxBoard, BoxScores, inside_of, read_yolo_boxes
from contract.clip_scores import (
    ClipScores,
    TileScores,
    WatchedClip,
    onset_scores,
    tile_scores,
)
from contract.data_folder import DataFolder
from contract.errors import ConfigError, InputError
from contract.gallery import Gallery, ShownPicture
from contract.label_map import GAS_SMOKE
from contract.mosaics import Mosaics
from contract.pictures import fit_picture, pictures_in, read_picture
from contract.video import VideoFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.segmenter import Segmenter

__all__ = ["BoxEvaluation", "TileEvaluation", "evaluate_boxes", "evaluate_tiles", "watch_clips"]


@dataclass(frozen=True, slots=True)
class BoxEvaluation:
    """Scores on boxes, and the frames ranked by the IoU of their box."""

    scores: BoxScores
    ranked: Gallery


@dataclass(frozen=True, slots=True)
class TileEvaluation:
    """Scores on tiles, and the tiles ranked by their median gas share."""

    scores: TileScores
    with_smoke: Gallery
    without: Gallery


@dataclass(frozen=True, slots=True)
class _Seen:
    """One picture as the network saw it."""

    frame: NDArray[np.uint8]  # (h, w, 3) without padding
    mask: NDArray[np.uint8]  # (h, w)
    score: NDArray[np.uint8]  # (h, w)

    @property
    def gas_share(self) -> float:
        return float((self.mask == GAS_SMOKE).mean())

    def shown(self, caption: str, box: NDArray[np.bool_] | None = None) -> ShownPicture:
        return ShownPicture(caption, self.frame.copy(), self.mask.copy(), box=box)


def _see(segmenter: Segmenter, picture: NDArray[np.uint8]) -> _Seen:
    frame = fit_picture(picture, segmenter.geometry)
    valid = segmenter.geometry.of(picture.shape[1], picture.shape[0]).valid
    found = segmenter.segment(frame[None])
    return _Seen(frame[valid], found.mask[0][valid], found.score[0][valid])


def evaluate_boxes(
    segmenter: Segmenter, folder: Path, *, only: Sequence[str] | None = None
) -> BoxEvaluation:
    """Score a folder of `images/` and `labels/` with YOLO boxes.

    Raises:
        InputError: when a picture or its boxes cannot be used.
        EngineError: when the backend fails.
    """
    paths = {path.stem: path for path in pictures_in(folder / "images")}
    if only is not None:
        if absent := sorted(set(only) - paths.keys()):
            raise InputError(f"{folder}: holds no picture {', '.join(absent[:5])}")
        paths = {stem: paths[stem] for stem in sorted(set(only))}
    # all are read first: a broken one must not be found after minutes
    boxes = {stem: read_yolo_boxes(folder / "labels" / f"{stem}.txt") for stem in paths}
    board, ranked = BoxBoard(), Gallery()
    for stem, path in tqdm(paths.items(), desc=f"scoring on {folder.name}", delay=2):
        seen = _see(segmenter, read_picture(path))
        rank = board.add(boxes[stem], seen.mask, seen.score)
        inside = np.zeros(seen.mask.shape, np.bool_)
        for box in boxes[stem]:
            inside[inside_of(box, seen.mask.shape)] = True
        what = f"box IoU {rank:.3f}" if boxes[stem] else f"no box, {-100 * rank:.2f} % marked"
        caption = f"{stem}: {what}"
        ranked.offer(rank, partial(seen.shown, caption, inside))
    return BoxEvaluation(board.scores(), ranked)


def evaluate_tiles(
    segmenter: Segmenter, folder: Path, *, grids: Sequence[str] = (), every: int = 4
) -> TileEvaluation:
    """Score mosaics of short clips, each labelled as a whole.

    Args:
        segmenter: a checkpoint, a bundle or an engine.
        folder: with `tiles.csv` and `grids/`, as RISE is laid out.
        grids: names or patterns of the mosaics to take; empty takes all.
        every: look at every so many-th frame.

    Raises:
        InputError: when the table or a mosaic cannot be used.
        EngineError: when the backend fails.
    """
    mosaics = Mosaics.open(folder, grids)
    shares: dict[str, list[float]] = {tile.name: [] for tile in mosaics.tiles}
    smoke, clear = Gallery(), Gallery()
    for grid in tqdm(mosaics.grids, desc=f"scoring on {folder.name}", delay=2):
        most: dict[str, _Seen] = {}  # the frame of each tile that shows most gas
        for frame in tqdm(mosaics.frames(grid, every), desc=grid, delay=2, leave=False):
            for tile, picture in mosaics.cut(grid, frame):
                seen = _see(segmenter, picture)
                if seen.gas_share > max(shares[tile.name], default=-1.0):
                    most[tile.name] = seen
                shares[tile.name].append(seen.gas_share)
        for tile in mosaics.of(grid):
            rank = float(np.median(shares[tile.name]))
            caption = f"{tile.name}: median {100 * rank:.2f} % marked"
            gallery = smoke if tile.with_smoke else clear
            gallery.offer(rank, partial(most[tile.name].shown, caption))
    labels = {tile.name: tile.with_smoke for tile in mosaics.tiles}
    return TileEvaluation(tile_scores(shares, labels, every=every), smoke, clear)


def watch_clips(
    segmenter: Segmenter,
    clip: Path,
    *,
    onset_s: float | None = None,
    fps: float | None = None,
    every: int = 1,
) -> ClipScores:
    """Time to first detection and false alarms on a video, or on the clips of a data folder.

    Args:
        segmenter: a checkpoint, a bundle or an engine.
        clip: a video; or a data folder whose groups are clips, frames in order of their names,
            and whose masks say when the gas comes.
        onset_s: when the gas comes in the video; at or after its end where it never does.
        fps: frames a second; None takes the video's own.
        every: look at every so many-th frame.

    Raises:
        ConfigError: when the onset of a video or the rate of a folder is not given.
        InputError: when the clip cannot be used.
        EngineError: when the backend fails.
    """
    if clip.is_dir():
        if fps is None:
            raise ConfigError(f"{clip}: is a folder; say with --fps how many frames a second it is")
        if onset_s is not None:
            raise ConfigError(f"{clip}: the masks say when the gas comes; leave --onset-s out")
        watched = _watched_folder(segmenter, clip, fps, every)
    else:
        if onset_s is None:
            raise ConfigError(
                f"{clip}: say with --onset-s when the gas comes; a time after the clip's end "
                "means that it never does"
            )
        watched = [_watched_video(segmenter, clip, onset_s, fps, every)]
    return ClipScores(clips=tuple(watched), rules=onset_scores(watched))


def _watched_video(
    segmenter: Segmenter, clip: Path, onset_s: float, fps: float | None, every: int
) -> WatchedClip:
    with VideoFile(clip) as video:
        rate = fps or video.fps
        times, shares = [], []
        frames = video.frames(every)
        for number, picture in tqdm(frames, desc=f"watching {clip.name}", delay=2):
            times.append(number / rate)
            shares.append(_see(segmenter, picture).gas_share)
    comes = onset_s if times[-1] >= onset_s else None
    return WatchedClip(name=clip.name, times_s=tuple(times), shares=tuple(shares), onset_s=comes)


def _watched_folder(segmenter: Segmenter, path: Path, fps: float, every: int) -> list[WatchedClip]:
    folder = DataFolder.open(path)
    if GAS_SMOKE not in folder.labelled:
        raise InputError(f"{path}: its masks do not label gas-smoke, so nobody knows when it comes")
    groups = folder.groups()
    alone = len(set(groups.values())) == len(folder)  # no clip has two frames: all are one
    clips: dict[str, list[str]] = {}
    for name in folder.names:
        clips.setdefault(path.name if alone else groups[name], []).append(name)
    bar = tqdm(total=len(folder), desc=f"watching {path.name}", delay=2)
    watched = []
    with bar:
        for clip, names in clips.items():
            times, shares, onset = [], [], None
            for number, name in enumerate(names):
                bar.update()
                picture, truth = folder.read(name)
                if onset is None and (truth == GAS_SMOKE).any():
                    onset = number / fps
                if number % every == 0:
                    times.append(number / fps)
                    shares.append(_see(segmenter, picture).gas_share)
            watched.append(
                WatchedClip(name=clip, times_s=tuple(times), shares=tuple(shares), onset_s=onset)
            )
    return watched
