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

__all__ = ["LEGEND", "heading", "number", "paragraph", "picture_rows", "table", "write_page"]

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;
color:#1b1b1b;background:#fff}table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.2rem
.8rem;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:.4rem;vertical-align:top}figcaption{font-size:12px;
max-width:36rem;overflow-wrap:anywhere}img,svg{max-width:100%;height:auto}"""
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
    return f"<table><tr>{cells('th', heads)}</tr>{body}</table>"


def picture_rows(pictures: Sequence[ShownPicture]) -> str:
    """Each picture with its truth, or its box, and its result, side by side."""
    return "".join(_figure(each) for each in pictures) or "<p>None.</p>"


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
    cv2 = need("cv2", extra="cpu")
    plain = picture.frame.copy()
    if picture.truth is not None:
        plain[picture.truth == IGNORE] //= 2
    beside = [plain]
    if picture.truth is not None:
        beside.append(_over(plain, picture.truth))
    elif picture.box is not None:
        beside.append(_edged(plain, picture.box))
    beside.append(_over(plain, picture.result))
    row = np.hstack(beside)
    times = max(1, round(_SIDE / row.shape[0]))
    row = row.repeat(times, axis=0).repeat(times, axis=1)
    _, data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 85])
    url = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    caption = html.escape(picture.caption)
    return f'<figure><img alt="" src="{url}"><figcaption>{caption}</figcaption></figure>'


def _over(frame: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    drawn = frame.copy()
    for each in CLASSES[1:]:
        here = mask == each.index
        colour = np.array(each.colour_rgb[::-1], np.float32)
        drawn[here] = (0.5 * drawn[here] + 0.5 * colour).astype(np.uint8)
    return np.asarray(drawn)


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
