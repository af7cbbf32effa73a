"""One self-contained page of a training: curves, scores, and its worst and best pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from contract.evaluation_page import plant_sections
from contract.label_map import CLASSES
from contract.score_page import (
    LEGEND,
    heading,
    number,
    paragraph,
    picture_rows,
    table,
    write_page,
)
from contract.svg_charts import Line, line_chart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from contract.gallery import Gallery
    from train.scoring import DataScores

__all__ = ["write_report"]

_ABOUT_SCORES = (
    "Mean IoU and F1 are pooled over pixels; the image mean is each image's mean IoU, averaged. "
    "The best epoch was chosen on val; test was not looked at before."
)


def write_report(
    path: Path,
    title: str,
    history: Sequence[dict[str, float]],
    scores: Sequence[DataScores],
    pictures: Gallery,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file.
        title: of the page.
        history: one row of metrics for each epoch.
        scores: of every split and data set.
        pictures: of the validation split, ranked.
    """
    worst, best = pictures.ends()
    tested = [each for each in scores if each.split == "test"] or scores
    sections = [
        heading("Scores"),
        paragraph(_ABOUT_SCORES),
        _table(scores),
        heading("Curves"),
        *_curves(history),
        heading("Worst and best of the validation split"),
        f"<p>Picture, truth, result: {LEGEND}; what is not counted is darkened.</p>",
        heading("Worst", 3),
        picture_rows(worst),
        heading("Best", 3),
        picture_rows(best),
    ]
    for each in tested:
        sections += [heading(f"{each.data}, {each.split}"), *plant_sections(each.plant, level=3)]
    write_page(path, title, sections)


def _table(scores: Sequence[DataScores]) -> str:
    names = [each.name for each in CLASSES]
    heads = ["data", "split", "images", "mean IoU", "mean F1", "image mean IoU"]
    rows = []
    for each in scores:
        values = each.scores
        numbers = [values.mean_iou, values.mean_f1, values.image_mean_iou]
        numbers += [values.classes[name].iou for name in names]
        rows.append(
            [each.data, each.split, str(values.n_images), *(number(value) for value in numbers)]
        )
    return table([*heads, *(f"{name} IoU" for name in names)], rows)


def _curves(history: Sequence[dict[str, float]]) -> list[str]:
    epochs = [row["epoch"] + 1 for row in history]

    def line(name: str, key: str, *, wide: bool = False) -> Line:
        return Line(name, epochs, [row.get(key, math.nan) for row in history], wide=wide)

    keys = dict.fromkeys(key for row in history for key in row if key.endswith("_iou"))
    ious = [line(key.removeprefix("val/"), key, wide=key == "val/mean_iou") for key in keys]
    return [
        line_chart("training loss", [line("loss", "train/loss")], x_title="epoch"),
        line_chart("validation IoU", ious, x_title="epoch", y_limits=(0, 1)),
    ]
