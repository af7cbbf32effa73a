"""One HTML file that shows what a demonstration made; it needs nothing beside itself."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["write_page"]

_STATES = {0: "none", 1: "suspect", 2: "LEAK", 255: "unknown", None: "unknown (bad quality)"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .8rem;
border-bottom: 1px solid #bbb; text-align: left; font-variant-numeric: tabular-nums }
video, img { width: 100%; max-width: 30rem; background: #000; image-rendering: pixelated }
pre { background: #f3f3f3; padding: 1rem; overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd }
pre { background: #23262b } }
"""


def write_page(
    out: Path, results: dict[str, Any], timings: dict[str, float], commands: Sequence[str]
) -> Path:
    """Write `index.html` into the demonstration's folder and give its path."""
    scores, tags = results["scores"], results["tags"]
    first = next(iter(scores.values()))
    parts = [
        "<h1>gasedge: the whole line</h1>",
        f"<p>{escape(first['machine'])}</p>",
        "<h2>What the daemon saw</h2>",
        "<p>Frames that no earlier stage has seen; gas is drawn in.</p>",
        *_pictures(out / "overlay.webm"),
        "<h2>Leak state, read through two clients</h2>",
        _table(
            ("seconds", "OPC UA", "Modbus TCP"),
            ((e["at_s"], *(_STATES.get(s, s) for s in e["state"])) for e in tags["history"]),
        ),
        *_honesty(tags),
        "<p>The values while the leak stood:</p>",
        _table(
            ("tag", "OPC UA", "Modbus TCP"),
            ((n, v, tags["leak"]["modbus"].get(n, "")) for n, v in tags["leak"]["opcua"].items()),
        ),
        "<h2>Scores per precision</h2>",
        f"<p>{first['n_images']} images of the split {escape(first['split'])}.</p>",
        _table(
            ("precision", "gas-smoke IoU", "gas-smoke F1", "mean IoU", "image mean IoU", "run by"),
            (_score_row(precision, each) for precision, each in scores.items()),
        ),
        "<h2>Engines</h2>",
        _table(
            ("precision", "file", "MB", "TensorRT", "seconds", "convolutions by type"),
            (_engine_row(precision, each) for precision, each in results["engines"].items()),
        ),
        "<h2>Time per stage</h2>",
        _table(("stage", "seconds"), ((name, f"{s:.1f}") for name, s in timings.items())),
        "<h2>The commands</h2>",
        f"<pre>{escape(chr(10).join(commands))}</pre>",
    ]
    body = "\n".join(parts)
    page = out / "index.html"
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>gasedge demonstration</title>'
        f"<style>{_STYLE}</style>\n{body}\n</html>\n",
        encoding="utf-8",
    )
    return page


def _honesty(tags: dict[str, Any]) -> list[str]:
    """How much the leak state of such a network is worth."""
    if "clear_before" not in tags:
        return []
    before = "clear" if tags["clear_before"] else "not clear: <b>a false alarm</b>"
    return [f"<p>Before the plume the state was {before}. {escape(tags['note'])}</p>"]


def _score_row(precision: str, scores: dict[str, Any]) -> tuple[Any, ...]:
    gas = scores["classes"]["gas-smoke"]
    numbers = (gas["iou"], gas["f1"], scores["mean_iou"], scores["image_mean_iou"])
    return precision, *(f"{n:.4f}" for n in numbers), scores["backend"]


def _engine_row(precision: str, built: dict[str, Any]) -> tuple[Any, ...]:
    facts = built["fingerprint"]
    found = built["statistics"] or {}
    counts = ", ".join(f"{n} {t}" for t in ("int8", "fp16", "fp32", "other") if (n := found.get(t)))
    megabytes = f"{facts['engine_bytes'] / 1e6:.1f}"
    return precision, built["engine"], megabytes, facts["tensorrt"], built["seconds"], counts


def _pictures(video: Path) -> list[str]:
    """The video, and stills for a browser that cannot play it."""
    data = base64.b64encode(video.read_bytes()).decode()
    parts = [f'<video controls muted loop src="data:video/webm;base64,{data}"></video>']
    reader = cv2.VideoCapture(str(video))
    frames = []
    while True:
        more, frame = reader.read()
        if not more:
            break
        frames.append(frame)
    reader.release()
    for share in (0.2, 0.6, 0.9) if frames else ():
        done, still = cv2.imencode(".png", frames[int(share * (len(frames) - 1))])
        if done:
            text = base64.b64encode(still.tobytes()).decode()
            parts.append(f'<img alt="overlay" src="data:image/png;base64,{text}">')
    return parts


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"
