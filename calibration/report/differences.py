"""Sections of the page that show scores and masks: what a plant would notice of INT8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.report.compared import SCORE_BINS
from contract.label_map import CLASSES, GAS_SMOKE, IGNORE
from contract.plume_scores import FOUND_SHARE
from contract.precision import Precision
from contract.score_page import (
    LEGEND,
    heading,
    number,
    paragraph,
    picture_figure,
    picture_panels,
    table,
    with_mask,
)
from contract.svg_charts import Line, bar_chart, line_chart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.report.compared import Compared, Disagreement
    from contract.evaluation import Evaluation
    from contract.gallery import ShownPicture

__all__ = [
    "GAS",
    "counted",
    "difference_sections",
    "score_sections",
    "size_sections",
    "worst_sections",
]

GAS = CLASSES[GAS_SMOKE].name
_NAMED = 12  # pictures named in a line


def score_sections(compared: Compared) -> list[str]:
    """Scores of all precisions side by side, and what INT8 changes in each."""
    fp32, int8 = (_measures(compared.evaluations[p]) for p in (Precision.FP32, Precision.INT8))
    columns = {p: _measures(each) for p, each in compared.evaluations.items()}
    rows = []
    for name, (right, digits) in fp32.items():
        found = int8[name][0]
        change = "-" if found is None or right is None else f"{found - right:+.{digits}f}"
        rows.append([name, *(number(each[name][0], digits) for each in columns.values()), change])
    heads = ["", *(str(p).upper() for p in columns), "INT8 - FP32"]
    return [heading("Scores"), table(heads, rows), *_intervals(compared)]


def _measures(result: Evaluation) -> dict[str, tuple[float | None, int]]:
    """Value and decimals of each line of the table."""
    gas, plant = result.scores.classes[GAS], result.plant
    plumes = plant.recall_by_plume_size
    n_plumes = sum(each.plumes for each in plumes)
    return {
        f"{GAS} IoU": (gas.iou, 4),
        f"{GAS} F1": (gas.f1, 4),
        f"{GAS} precision": (gas.precision, 4),
        f"{GAS} recall of pixels": (gas.recall, 4),
        "plumes found": (sum(e.found for e in plumes) / n_plumes if n_plumes else None, 4),
        "mean IoU of the labelled classes": (result.scores.mean_iou, 4),
        "boundary error, px": (plant.boundary.mean_distance_px, 2),
        "boundary F1": (plant.boundary.f1, 4),
        "alarms in empty scenes": (plant.empty_scenes.alarm_rate, 4),
        "calibration error of the score": (plant.reliability.expected_calibration_error, 4),
    }


def _intervals(compared: Compared) -> list[str]:
    return [
        paragraph(
            f"{str(precision).upper()} changes {GAS} IoU by {each.value:+.4f}, 95 % interval "
            f"{each.low:+.4f} to {each.high:+.4f} (resampling {each.n_groups} groups of pictures)."
        )
        for precision, each in compared.gas_change.items()
    ]


def size_sections(compared: Compared) -> list[str]:
    """Recall by plume size, and the plumes that came or went."""
    results = {p: each.plant.recall_by_plume_size for p, each in compared.evaluations.items()}
    sizes = [n for n, each in enumerate(results[Precision.FP32]) if each.plumes]
    known = [results[Precision.FP32][n] for n in sizes]
    names = [f"{100 * each.area_from:g}-{100 * each.area_to:g} %" for each in known]
    found = [(str(p).upper(), [each[n].found_recall for n in sizes]) for p, each in results.items()]
    rows = [
        [names[at], str(known[at].plumes)]
        + [number(each[n].found_recall) for each in results.values()]
        + [number(each[n].pixel_recall) for each in results.values()]
        for at, n in enumerate(sizes)
    ]
    heads = ["plume, share of picture", "plumes"]
    heads += [f"{str(p).upper()} found" for p in results]
    heads += [f"{str(p).upper()} pixels" for p in results]
    return [
        heading("Recall by plume size"),
        paragraph(
            "A plume is all gas-smoke of a picture; it is found where at least "
            f"{100 * FOUND_SHARE:g} % of its pixels are marked."
        ),
        bar_chart(
            "Plumes found",
            names,
            found,
            notes=[f"n={each.plumes}" for each in known],
            x_title="plume's share of the picture; n plumes",
        ),
        table(heads, rows),
        *(
            paragraph(
                f"{str(p).upper()} finds {counted(len(each.gained))} that FP32 misses and loses "
                f"{len(each.lost)} that FP32 finds{_named(each.lost)}."
            )
            for p, each in compared.against_fp32.items()
        ),
    ]


def counted(plumes: int) -> str:
    """How many plumes, in words."""
    return f"{plumes} plume{'' if plumes == 1 else 's'}"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ": " + ", ".join(names[:_NAMED]) + more if names else ""


def difference_sections(compared: Compared) -> list[str]:
    """Where in the picture, at which score and between which classes INT8 differs from FP32."""
    int8 = compared.against_fp32[Precision.INT8]
    shares = "; ".join(
        f"{str(p).upper()} in {each.share:.3%}" for p, each in compared.against_fp32.items()
    )
    names = [each.name for each in CLASSES]
    moved = [
        [f"FP32 {names[row]}", *(f"{int8.moved[row, column]:,}" for column in range(len(names)))]
        for row in range(len(names))
    ]
    share = int8.differing / np.maximum(1, int8.counted)
    return [
        heading("Where INT8 differs from FP32"),
        paragraph(f"Pixels that another class is given to than by FP32: {shares} of all."),
        picture_figure(
            _heat(share),
            "Disagreement map, each place of the picture over the whole set: black is never, "
            f"bright yellow in {share.max():.1%} of the pictures. Thin lines along the edges of "
            "plumes are rounding; a blot, a stripe or a border is a fault.",
        ),
        _by_score(int8),
        paragraph("Pixels by the class of FP32 (rows) and of INT8 (columns):"),
        table(["", *(f"INT8 {name}" for name in names)], moved),
    ]


def _by_score(int8: Disagreement) -> str:
    pixels, differing = int8.by_score
    middles = [(n + 0.5) / SCORE_BINS for n in range(SCORE_BINS)]
    shares = [100 * d / p if p else float("nan") for p, d in zip(pixels, differing, strict=True)]
    chart = line_chart(
        "Pixels that INT8 decides otherwise, %",
        [Line("INT8", middles, shares, wide=True, points=True)],
        x_title="gas score that FP32 gives the pixel",
        x_limits=(0, 1),
    )
    near = pixels[SCORE_BINS // 2 - 1 : SCORE_BINS // 2 + 1].sum() / max(1, pixels.sum())
    return chart + paragraph(
        f"{near:.2%} of the pixels have a score between 0.4 and 0.6, where rounding may well "
        "decide. Differences far from 0.5 are not rounding: look at the layers."
    )


def _heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Black, red, yellow: (H, W) shares -> (H, W, 3) BGR; small shares are lifted by a root."""
    level = np.sqrt(share / (share.max() or 1))
    channels = (np.clip(3 * level - 2, 0, 0.6), np.clip(2 * level - 0.8, 0, 1), 2 * level)
    return np.asarray(255 * np.clip(np.stack(channels, -1), 0, 1), np.uint8)


def worst_sections(compared: Compared) -> list[str]:
    """The pictures on which INT8 lost most."""
    return [
        heading("The pictures on which INT8 loses most"),
        (
            f"<p>{LEGEND}. Lost plumes first, then by the change of {GAS} IoU, or in a picture "
            "without gas by what is falsely marked. Difference: "
            "<b style='color:#c00'>red</b> only FP32 marks, "
            "<b style='color:#06c'>blue</b> only INT8 marks, yellow another change of class. "
            "What is not counted is darkened.</p>"
        ),
        *(_panels(each) for each in compared.worst.lowest()),
    ]


def _panels(picture: ShownPicture) -> str:
    plain = picture.frame.copy()
    panels = [("picture", plain)]
    counted = np.ones(picture.result.shape, bool)
    if picture.truth is not None:
        counted = picture.truth != IGNORE
        plain[~counted] //= 2
        panels.append(("truth", with_mask(plain, picture.truth)))
    results = [*picture.beside, (str(Precision.INT8), picture.result)]
    panels += [(name.upper(), with_mask(plain, mask)) for name, mask in results]
    fp32 = dict(picture.beside)[str(Precision.FP32)]
    gas_before, gas_after = (mask == GAS_SMOKE for mask in (fp32, picture.result))
    drawn = plain // 4
    drawn[counted & (fp32 != picture.result)] = (60, 220, 240)
    drawn[counted & gas_before & ~gas_after] = (30, 30, 230)
    drawn[counted & ~gas_before & gas_after] = (235, 120, 30)
    return picture_panels(picture.caption, [*panels, ("difference", drawn)])
