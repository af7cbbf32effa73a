"""One self-contained page of a training: curves, scores, and its worst and best pictures."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np

from contract.atomic import write_text
from contract.label_map import CLASSES, IGNORE
from contract.packages import need
from train.scoring import SHOWN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from train.scoring import DataScores, ScoredPicture

__all__ = ["write_report"]

_ABOUT_SCORES = (
    "Mean IoU and F1 are pooled over pixels; the image mean is each image's mean IoU, averaged. "
    "The best epoch was chosen on val; test was not looked at before."
)
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid
#ccc}td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.4rem}
figcaption{font-size:12px;max-width:36rem;overflow-wrap:anywhere}img{max-width:100%}"""


def write_report(
    path: Path,
    title: str,
    history: Sequence[dict[str, float]],
    scores: Sequence[DataScores],
    pictures: Sequence[ScoredPicture],
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file.
        title: of the page.
        history: one row of metrics for each epoch.
        scores: of every split and data set.
        pictures: the worst and best of the validation split, worst first.
    """
    worst, best = pictures[:SHOWN], pictures[: -SHOWN - 1 : -1]
    colours = ", ".join(
        f'<b style="color:rgb{each.colour_rgb}">{each.name}</b>' for each in CLASSES[1:]
    )
    body = "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            "<h2>Scores</h2>",
            f"<p>{_ABOUT_SCORES}</p>",
            _table(scores),
            "<h2>Curves</h2>",
            f'<img alt="loss and validation scores by epoch" src="{_curves(history)}">',
            "<h2>Worst and best of the validation split</h2>",
            f"<p>Picture, truth, result: {colours}; what is not counted is darkened.</p>",
            "<h3>Worst</h3>",
            *(_figure(each) for each in worst),
            "<h3>Best</h3>",
            *(_figure(each) for each in best),
        ]
    )
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    write_text(path, f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>")


def _table(scores: Sequence[DataScores]) -> str:
    names = [each.name for each in CLASSES]
    heads = ["data", "split", "images", "mean IoU", "mean F1", "image mean IoU"]
    head = "".join(f"<th>{h}</th>" for h in heads + [f"{name} IoU" for name in names])
    rows = []
    for each in scores:
        values = each.scores
        numbers = [values.mean_iou, values.mean_f1, values.image_mean_iou]
        numbers += [values.classes[name].iou for name in names]
        cells = [html.escape(each.data), each.split, str(values.n_images)]
        cells += ["-" if number is None else f"{number:.3f}" for number in numbers]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _curves(history: Sequence[dict[str, float]]) -> str:
    figures = need("matplotlib.figure", extra="train")
    figure = figures.Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    left.plot(epochs, [row.get("train/loss", np.nan) for row in history], color="black")
    left.set(title="training loss", xlabel="epoch")
    for name in dict.fromkeys(key for row in history for key in row if key.endswith("_iou")):
        wide = 2.5 if name == "val/mean_iou" else 1
        values = [row.get(name, np.nan) for row in history]
        right.plot(epochs, values, label=name.removeprefix("val/"), linewidth=wide)
    right.set(title="validation IoU", xlabel="epoch", ylim=(0, 1))
    right.legend(fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return _data_url("image/png", data.getvalue())


def _figure(picture: ScoredPicture) -> str:
    plain = picture.frame.copy()
    plain[picture.truth == IGNORE] //= 2
    row = np.hstack([plain, *(_over(plain, mask) for mask in (picture.truth, picture.result))])
    _, data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 85])
    caption = f"{html.escape(picture.name)}: mean IoU {picture.mean_iou:.3f}"
    url = _data_url("image/jpeg", data.tobytes())
    return f'<figure><img alt="" src="{url}"><figcaption>{caption}</figcaption></figure>'


def _over(frame: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    drawn = frame.copy()
    for each in CLASSES[1:]:
        here = mask == each.index
        colour = np.array(each.colour_rgb[::-1], np.float32)
        drawn[here] = (0.5 * drawn[here] + 0.5 * colour).astype(np.uint8)
    return np.asarray(drawn, np.uint8)


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
