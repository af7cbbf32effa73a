"""Scores as a person reads them on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.plume_scores import FOUND_SHARE, PRESENT

if TYPE_CHECKING:
    from contract.box_scores import BoxScores
    from contract.clip_scores import ClipScores, TileScores
    from contract.evaluation import PlantScores
    from contract.intervals import IouIntervals
    from contract.scores import Scores

__all__ = ["box_lines", "box_table", "clip_lines", "data_lines", "interval_lines", "tile_lines"]


def data_lines(scores: Scores, plant: PlantScores, intervals: IouIntervals | None) -> list[str]:
    """Scores of a set with masks."""
    rows = [f"{'class':12} {'IoU':>7} {'F1':>7} {'precision':>9} {'recall':>7} {'pixels':>10}"]
    for name, each in scores.classes.items():
        cells = [_number(v) for v in (each.iou, each.f1, each.precision, each.recall)]
        rows.append(
            f"{name:12} {cells[0]:>7} {cells[1]:>7} {cells[2]:>9} {cells[3]:>7} "
            f"{each.truth_pixels:>10}"
        )
    rows.append(f"{'mean':12} {_number(scores.mean_iou):>7} {_number(scores.mean_f1):>7}")
    rows.append(f"mean IoU averaged over images: {_number(scores.image_mean_iou)}")
    return [*rows, *interval_lines(intervals), "", *_plant_lines(plant)]


def interval_lines(intervals: IouIntervals | None) -> list[str]:
    """Intervals by resampling groups, where they were asked for."""
    if intervals is None:
        return []
    lines = []
    for name, found in (
        ("gas-smoke IoU", intervals.gas_smoke_iou),
        ("mean IoU", intervals.mean_iou),
    ):
        lines.append(
            f"{name}: {found.value:.4f}, 95 % interval {found.low:.4f} to {found.high:.4f} "
            f"by resampling {found.n_groups} groups"
            if found
            else f"{name}: no interval, at least two groups with gas are needed"
        )
    return lines


def _plant_lines(plant: PlantScores) -> list[str]:
    rows = [f"{'plume, % of picture':20} {'plumes':>6} {'found':>7} {'pixel recall':>12}"]
    rows += [
        f"{f'{100 * each.area_from:g} to {100 * each.area_to:g}':20} {each.plumes:>6} "
        f"{_number(each.found_recall, 3):>7} {_number(each.pixel_recall, 3):>12}"
        for each in plant.recall_by_plume_size
        if each.plumes
    ]
    rows.append(f"(found: {100 * FOUND_SHARE:g} % of a plume's pixels or more are marked)")
    empty, edge, reliable = plant.empty_scenes, plant.boundary, plant.reliability
    rows.append(
        f"pictures without gas: {empty.pictures}; {empty.alarms} alarm ({100 * PRESENT:g} % of the "
        f"picture or more), marked area {_number(empty.false_area, 5)}"
        if empty.pictures
        else "pictures without gas: none, so false alarms are not measured here"
    )
    rows.append(
        f"boundary: distance {_number(edge.mean_distance_px, 2)} px, F1 {_number(edge.f1, 3)} at "
        f"{_number(edge.tolerance_px, 2)} px; {edge.unanswered} of {edge.pictures} plumes unmarked"
    )
    rows.append(
        f"score: calibration error {_number(reliable.expected_calibration_error)}, Brier "
        f"{_number(reliable.brier)} (always answering the gas share: "
        f"{_number(reliable.brier_of_gas_share)})"
    )
    return rows


def box_table(scores: BoxScores) -> list[tuple[str, str]]:
    """Weak scores on boxes: (measure, value)."""
    shares = {
        "highest score inside a box": scores.pointing_maximum,
        "centroid of the marked score inside a box": scores.pointing_centroid,
        f"found inside a box (on {PRESENT:g} of the picture)": scores.found_in_box,
        "share of the marked pixels inside": scores.gas_inside_box,
        "marked only outside": scores.gas_only_outside_box,
        "IoU of the largest region's rectangle": scores.box_iou,
        "that IoU is 0.5 or more": scores.box_iou_half,
        "alarms without a box": scores.alarms_without_box,
    }
    counts = {"frames": scores.frames, "frames without a box": scores.frames_without_box}
    return [
        *((name, str(count)) for name, count in counts.items()),
        *((name, _number(share)) for name, share in shares.items()),
    ]


def box_lines(scores: BoxScores) -> list[str]:
    """Weak scores on boxes."""
    return [f"{name:46} {value:>7}" for name, value in box_table(scores)]


def tile_lines(scores: TileScores) -> list[str]:
    """Short clips labelled as a whole."""
    return [
        f"{scores.tiles_with_smoke} tiles with smoke, {scores.tiles_without} without",
        f"looked at one frame in {scores.every}",
        f"area under ROC of the median gas share: {_number(scores.area_under_roc)}",
        f"{'rule':46} {'found':>7} {'false alarms':>12}",
        *(
            f"{each.rule:46} {_number(each.found):>7} {_number(each.false_alarms):>12}"
            for each in scores.rules
        ),
    ]


def clip_lines(scores: ClipScores) -> list[str]:
    """Clips in which a leak begins."""
    heads = ("found", "median, s", "worst, s", "already", "false alarms")
    return [
        "{:46} {:>9} {:>9} {:>8} {:>7}  {}".format("rule", *heads),
        *(
            f"{each.rule!s:46} {f'{each.found} of {each.clips_with_gas}':>9} "
            f"{_number(each.median_delay_s, 2):>9} {_number(each.worst_delay_s, 2):>8} "
            f"{each.already_alarming:>7}  {each.false_alarms} in {each.quiet_s:.1f} s"
            for each in scores.rules
        ),
        "(already: the alarm stood wrongly when the gas came, so its delay says little)",
    ]


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
