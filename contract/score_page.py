"""One self-contained page: tables, charts, and pictures beside their truth and their result."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import numpy as np

from contract.atomic import write_text
from contract.label_map import CLASSES, IGNORE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.gallery import ShownPicture

__all__ = [
    "LEGEND",
    "folded",
    "heading",
    "number",
    "paragraph",
    "picture_figure",
    "picture_panels",
    "picture_rows",
    "table",
    "with_mask",
    "write_page",
]

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;
color:#1b1b1b;background:#fff}table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.2rem
.8rem;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:.4rem;vertical-align:top}figcaption{font-size:12px;
max-width:36rem;overflow-wrap:anywhere}img,svg{max-width:100%;height:auto}.wide{overflow-x:auto}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.3rem;
margin:.2rem 0 1.4rem}.panels figure{margin:0;min-width:0}.panels img{width:100%;display:block}
summary{cursor:pointer;margin:.6rem 0}@media(max-width:40rem){td,th{padding:.2rem .3rem}}"""
_SIDE = 192  # pictures are shown at least so high, and no larger than they are

LEGEND = ", ".join(
    f'<b style="color:rgb{each.colour_rgb}">{html.escape(each.name)}</b>' for each in CLASSES[1:]
)


def number(value: float | None, digits: int = 3) -> str:
    """A number as tables show it, a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def heading(text: str, level: int = 2) -> str:
    """A heading of plain text."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{cells('th', heads)}</tr>{body}</table></div>"


def folded(summary: str, sections: Sequence[str]) -> str:
    """HTML sections that open when the plain text above them is clicked."""
    return f"<details><summary>{html.escape(summary)}</summary>{''.join(sections)}</details>"


def picture_figure(picture: NDArray[np.uint8], caption: str) -> str:
    """One picture (H, W, 3) BGR over a plain caption."""
    cv2 = need("cv2", extra="cpu")
    times = max(1, round(_SIDE / picture.shape[0]))
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    _, data = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 85])
    url = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    text = html.escape(caption)
    return f'<figure><img alt="" src="{url}"><figcaption>{text}</figcaption></figure>'


def picture_panels(caption: str, panels: Sequence[tuple[str, NDArray[np.uint8]]]) -> str:
    """BGR pictures with a word under each, as many in a row as the screen has room for."""
    figures = "".join(picture_figure(picture, label) for label, picture in panels)
    return f"{paragraph(caption)}<div class=panels>{figures}</div>"


def picture_rows(pictures: Sequence[ShownPicture]) -> str:
    """Each picture with its truth, or its box, and its result, side by side."""
    return "".join(_figure(each) for each in pictures) or "<p>None.</p>"


def with_mask(frame: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame (H, W, 3) BGR with the colours of a mask (H, W) of class indices laid over it."""
    drawn = frame.copy()
    for each in CLASSES[1:]:
        here = mask == each.index
        colour = np.array(each.colour_rgb[::-1], np.float32)
        drawn[here] = (0.5 * drawn[here] + 0.5 * colour).astype(np.uint8)
    return np.asarray(drawn)


def write_page(path: Path, title: str, sections: Sequence[str]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file.
        title: plain text.
        sections: HTML, in order.

    Raises:
        GasedgeError: when the disk refuses.
    """
    head = (
        '<meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    )
    body = "\n".join([heading(title, 1), *sections])
    write_text(path, f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>")


def _figure(picture: ShownPicture) -> str:
    plain = picture.frame.copy()
    if picture.truth is not None:
        plain[picture.truth == IGNORE] //= 2
    beside = [plain]
    if picture.truth is not None:
        beside.append(with_mask(plain, picture.truth))
    elif picture.box is not None:
        beside.append(_edged(plain, picture.box))
    beside.append(with_mask(plain, picture.result))
    return picture_figure(np.hstack(beside), picture.caption)


def _edged(frame: NDArray[np.uint8], box: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The frame with the edge of a box drawn in light green."""
    inner = box.copy()
    inner[1:] &= box[:-1]
    inner[:-1] &= box[1:]
    inner[:, 1:] &= box[:, :-1]
    inner[:, :-1] &= box[:, 1:]
    drawn = frame.copy()
    drawn[box & ~inner] = (90, 255, 90)
    return np.asarray(drawn)
