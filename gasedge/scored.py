"""What `gasedge evaluate` found, ready to be printed, on each kind of truth there may be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.scores import Scores
    from contract.segmenter import Segmenter

__all__ = ["Scored", "scored_on_boxes", "scored_on_clip", "scored_on_data", "scored_on_tiles"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What one way of scoring found, as it is printed."""

    what: str  # how much of what was scored
    numbers: dict[str, Any]
    lines: list[str]
    sections: Callable[[], list[str]]  # of the page
    scores: Scores | None = None  # against masks


def scored_on_data(
    segmenter: Segmenter, data: Path, only: list[str] | None, group: str | None
) -> Scored:
    """Score on a folder of pictures and masks."""
    from contract.data_folder import DataFolder
    from contract.evaluation import evaluate
    from contract.evaluation_page import data_sections
    from contract.intervals import RESAMPLES, iou_intervals
    from contract.score_text import data_lines

    folder = DataFolder.open(data, only)
    # read before the work: a wrong column must not be found after minutes
    groups = folder.groups(column=group) if group else None
    result = evaluate(segmenter, folder, groups=groups)
    numbers = result.scores.model_dump() | {"labelled": list(result.labelled)}
    numbers |= result.plant.model_dump()
    intervals = iou_intervals(result.images, groups) if groups else None
    if intervals:
        of_what = {"group": group, "resamples": RESAMPLES}
        numbers["intervals"] = of_what | intervals.model_dump()
    return Scored(
        f"{result.scores.n_images} images",
        numbers,
        data_lines(result.scores, result.plant, intervals),
        partial(data_sections, result, intervals),
        result.scores,
    )


def scored_on_boxes(segmenter: Segmenter, boxes: Path, only: list[str] | None) -> Scored:
    """Score on a folder of pictures and YOLO boxes."""
    from contract.evaluation_page import box_sections
    from contract.score_text import box_lines
    from contract.weak_evaluation import evaluate_boxes

    result = evaluate_boxes(segmenter, boxes, only=only)
    return Scored(
        f"{result.scores.frames} images with boxes",
        {"boxes": result.scores.model_dump()},
        box_lines(result.scores),
        partial(box_sections, result),
    )


def scored_on_tiles(segmenter: Segmenter, tiles: Path, grids: str | None, every: int) -> Scored:
    """Score on labelled mosaics."""
    from contract.evaluation_page import tile_sections
    from contract.score_text import tile_lines
    from contract.weak_evaluation import evaluate_tiles

    patterns = [each.strip() for each in grids.split(",")] if grids else []
    result = evaluate_tiles(segmenter, tiles, grids=patterns, every=every)
    return Scored(
        f"{result.scores.tiles_with_smoke + result.scores.tiles_without} tiles",
        {"tiles": result.scores.model_dump()},
        tile_lines(result.scores),
        partial(tile_sections, result),
    )


def scored_on_clip(
    segmenter: Segmenter, clip: Path, onset_s: float | None, fps: float | None, every: int
) -> Scored:
    """Score on a video or a folder of clips."""
    from contract.evaluation_page import clip_sections
    from contract.score_text import clip_lines
    from contract.weak_evaluation import watch_clips

    scores = watch_clips(segmenter, clip, onset_s=onset_s, fps=fps, every=every)
    return Scored(
        "clip" if len(scores.clips) == 1 else f"{len(scores.clips)} clips",
        {"clip": scores.model_dump()},
        clip_lines(scores),
        partial(clip_sections, scores),
    )
