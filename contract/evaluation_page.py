"""Scores of one evaluation as sections of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.plume_scores import FOUND_SHARE, PRESENT
from contract.score_page import LEGEND, heading, number, paragraph, picture_rows, table
from contract.score_text import box_table, interval_lines
from contract.svg_charts import Line, bar_chart, line_chart

if TYPE_CHECKING:
    from contract.clip_scores import ClipScores
    from contract.evaluation import Evaluation, PlantScores
    from contract.intervals import IouIntervals
    from contract.reliability import Reliability
    from contract.scores import Scores
    from contract.weak_evaluation import BoxEvaluation, TileEvaluation

__all__ = ["box_sections", "clip_sections", "data_sections", "plant_sections", "tile_sections"]


def data_sections(result: Evaluation, intervals: IouIntervals | None) -> list[str]:
    """All of a set with masks, pictures included."""
    return [
        heading("Masks"),
        paragraph("Pooled over all pixels; what the truth does not label counts as background."),
        _class_table(result.scores),
        *(paragraph(line) for line in interval_lines(intervals)),
        *plant_sections(result.plant),
        *_ends(result),
    ]


def plant_sections(plant: PlantScores, *, level: int = 2) -> list[str]:
    """Recall by plume size, empty scenes, boundary and calibration of one set.

    Args:
        plant: the scores.
        level: of the headings.
    """
    sizes, empty, edge = plant.recall_by_plume_size, plant.empty_scenes, plant.boundary
    names = [f"{100 * each.area_from:g}-{100 * each.area_to:g} %" for each in sizes]
    return [
        heading("Recall by plume size", level),
        paragraph(
            "A plume is all gas-smoke of a picture; it is found where at least "
            f"{100 * FOUND_SHARE:g} % of its pixels are marked."
        ),
        bar_chart(
            "Recall by plume size",
            names,
            [
                ("plumes found", [each.found_recall for each in sizes]),
                ("pixels found", [each.pixel_recall for each in sizes]),
            ],
            notes=[f"n={each.plumes}" for each in sizes],
            x_title="plume's share of the picture; n plumes",
        ),
        heading("Empty scenes", level),
        paragraph(
            f"{empty.pictures} pictures show no gas. Of them {empty.alarms} alarm, with "
            f"{100 * PRESENT:g} % of the picture or more marked (rate {number(empty.alarm_rate)}); "
            f"marked area {number(empty.false_area, 5)} of their pixels."
            if empty.pictures
            else "No picture of this set is without gas: false alarms cannot be counted on it."
        ),
        heading("Boundary", level),
        paragraph(
            f"Mean symmetric distance {number(edge.mean_distance_px, 2)} px of the network's input "
            f"(over {edge.pictures - edge.unanswered} pictures); boundary F1 "
            f"{number(edge.f1)} at {number(edge.tolerance_px, 2)} px (over {edge.pictures}, "
            f"{edge.unanswered} of them with nothing marked)."
        ),
        heading("Calibration of the score", level),
        _reliability(plant.reliability),
    ]


def _reliability(found: Reliability) -> str:
    known = [each for each in found.bins if each.pixels]
    chart = line_chart(
        "Reliability",
        [
            Line("calibrated", [0, 1], [0, 1], grey=True),
            Line(
                "this network",
                [each.mean_score or 0.0 for each in known],
                [each.gas_share or 0.0 for each in known],
                points=True,
                wide=True,
            ),
        ],
        x_title="gas score of a pixel, mean of each tenth",
        x_limits=(0, 1),
        y_limits=(0, 1),
    )
    text = paragraph(
        f"Expected calibration error {number(found.expected_calibration_error, 4)}; Brier score "
        f"{number(found.brier, 4)}, against {number(found.brier_of_gas_share, 4)} of always "
        "answering the share of gas. Up: share of the pixels that are gas."
    )
    rows = [
        [f"{b.score_from:.1f}-{b.score_to:.1f}", f"{b.pixels:,}", number(b.gas_share)]
        for b in found.bins
    ]
    return chart + text + table(["score", "pixels", "gas share"], rows)


def _ends(result: Evaluation) -> list[str]:
    worst, best = result.ranked.ends()
    return [
        heading("Pictures"),
        f"<p>Picture, truth, result: {LEGEND}; what is not counted is darkened.</p>",
        heading("Worst", 3),
        picture_rows(worst),
        heading("Best", 3),
        picture_rows(best),
        heading("Most falsely marked", 3),
        picture_rows(result.false_gas.lowest()),
    ]


def _class_table(scores: Scores) -> str:
    rows = [
        [
            name,
            *(number(v) for v in (each.iou, each.f1, each.precision, each.recall)),
            f"{each.truth_pixels:,}",
        ]
        for name, each in scores.classes.items()
    ]
    rows.append(["mean", number(scores.mean_iou), number(scores.mean_f1), "", "", ""])
    rows.append(["mean of images", number(scores.image_mean_iou), "", "", "", ""])
    return table(["class", "IoU", "F1", "precision", "recall", "pixels"], rows)


def box_sections(result: BoxEvaluation) -> list[str]:
    """Weak scores on boxes."""
    worst, best = result.ranked.ends()
    return [
        heading("Boxes"),
        table(["measure", "value"], box_table(result.scores)),
        f"<p>Picture, box, result: {LEGEND}.</p>",
        heading("Worst", 3),
        picture_rows(worst),
        heading("Best", 3),
        picture_rows(best),
    ]


def tile_sections(result: TileEvaluation) -> list[str]:
    """False alarms and misses of short labelled clips."""
    scores = result.scores
    rows = [[each.rule, number(each.found), number(each.false_alarms)] for each in scores.rules]
    return [
        heading("Tiles"),
        paragraph(
            f"{scores.tiles_with_smoke} tiles with smoke, {scores.tiles_without} without; one "
            f"frame in {scores.every} was looked at. Area under ROC of the median gas share: "
            f"{number(scores.area_under_roc)}."
        ),
        table(["rule", "tiles with smoke found", "tiles without that alarm"], rows),
        f"<p>The frame that shows most gas, and its result: {LEGEND}.</p>",
        heading("Worst false alarms", 3),
        picture_rows(result.without.highest()),
        heading("Smoke least seen", 3),
        picture_rows(result.with_smoke.lowest()),
    ]


def clip_sections(scores: ClipScores) -> list[str]:
    """Time to first detection, and the gas share over each clip."""
    rows = [
        [
            str(each.rule),
            f"{each.found} of {each.clips_with_gas}",
            number(each.median_delay_s, 2),
            number(each.worst_delay_s, 2),
            str(each.already_alarming),
            f"{each.false_alarms} in {each.quiet_s:.1f} s",
        ]
        for each in scores.rules
    ]
    heads = ["rule", "found", "median delay, s", "worst delay, s", "already alarming"]
    charts = [
        line_chart(
            clip.name,
            [
                Line("gas share", clip.times_s, clip.shares),
                *(
                    [Line("gas comes", [clip.onset_s] * 2, [0, max(clip.shares)], grey=True)]
                    if clip.onset_s is not None
                    else []
                ),
            ],
            x_title="seconds",
        )
        for clip in scores.clips[:12]
    ]
    return [heading("Clips"), table([*heads, "false alarms"], rows), *charts]
