"""An engine's layers as a table for the terminal and as a picture: where the memory and time go."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from export.plan_statistics import statistics_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from contract.fingerprint import Fingerprint
    from export.engine_layers import EngineLayer, EngineReading

__all__ = ["engine_facts", "engine_svg", "engine_table"]

_COLOURS = {
    "int8": "#2c8c57", "fp16": "#1f6fb4", "fp32": "#d95f02", "uint8": "#7b4fa3", "mixed": "#a6761d",
}  # fmt: skip
_OTHER = "#777777"
_IDLE = ("reformat", "quantise")
_NAME, _NODES = 34, 46  # characters
_ROW, _LEFT, _BAR, _WIDE = 17, 330, 300, 1060  # pixels


def engine_facts(path: Path, fingerprint: Fingerprint, reading: EngineReading) -> list[str]:
    """What the engine is, a line each."""
    weights = sum(layer.weight_bytes or 0 for layer in reading.layers)
    moved = sum(layer.moved_bytes or 0 for layer in reading.layers)
    unknown = sum(layer.moved_bytes is None for layer in reading.layers)
    scratch = reading.scratch_bytes
    where = fingerprint.gpu_name or "no GPU, ahead of time"
    return [
        (
            f"{path.name}: {fingerprint.model_id} {fingerprint.precision}, {fingerprint.tensorrt}, "
            f"built on {where} at {fingerprint.built_at}"
        ),
        str(statistics_of(reading)),
        (
            f"file {fingerprint.engine_bytes / 1e6:.1f} MB, weights {weights / 1e6:.1f} MB, "
            f"device memory for activations {_size(scratch)}, "
            f"moved a frame {moved / 1e6:.1f} MB"
            + (f" without {unknown} layers of unknown size" if unknown else "")
        ),
    ]


def engine_table(reading: EngineReading, times_ms: Mapping[str, float]) -> list[str]:
    """A line for each layer; a layer without a time has a dash."""
    head = (
        f"{'':>3} {'layer':{_NAME}} {'kind':11} {'type':6} {'reads -> writes':20} "
        f"{'weights':>9} {'moved':>9} {'ms':>8} {'fused':5} nodes"
    )
    return [head, *(_row(n, layer, times_ms) for n, layer in enumerate(reading.layers, start=1))]


def engine_svg(
    facts: Sequence[str], reading: EngineReading, times_ms: Mapping[str, float], note: str
) -> str:
    """One bar a layer, as long as its time or, where none was taken, the memory that it moves.

    Args:
        facts: lines above the picture.
        reading: of the engine.
        times_ms: by layer; may be empty.
        note: what the bars are, in words.
    """

    def length(layer: EngineLayer) -> float:
        return times_ms.get(layer.name, 0.0) if times_ms else float(layer.moved_bytes or 0)

    longest = max(map(length, reading.layers), default=0) or 1
    top = 30 + _ROW * len(facts)
    height = top + _ROW * (len(reading.layers) + 3)
    parts = [_text(10, 20 + _ROW * n, fact, weight=600 if n == 0 else 400)
             for n, fact in enumerate(facts)]  # fmt: skip
    parts.append(_text(_LEFT, top + 4, note, colour="#555"))
    for number, layer in enumerate(reading.layers):
        y = top + _ROW * (number + 1)
        colour = _COLOURS.get(layer.precision, _OTHER)
        wide = max(1.0, _BAR * length(layer) / longest)
        dashes = ' stroke="#c00" stroke-width="1.5"' if layer.kind in _IDLE else ""
        title = html.escape(_row(number + 1, layer, times_ms))
        parts += [
            _text(10, y + 12, _cut(layer.name, 40)),
            f'<rect x="{_LEFT - 46}" y="{y + 2}" width="40" height="13" fill="{colour}"/>',
            _text(_LEFT - 26, y + 12, layer.precision or "?", colour="#fff", anchor="middle"),
            (
                f'<rect x="{_LEFT}" y="{y + 2}" width="{wide:.1f}" height="13" fill="{colour}" '
                f'fill-opacity="0.55"{dashes}><title>{title}</title></rect>'
            ),
            _text(_LEFT + wide + 6, y + 12, _said(layer, times_ms), colour="#333"),
            _text(_LEFT + _BAR + 110, y + 12, _cut(", ".join(layer.nodes), 50), colour="#777"),
        ]
    x = 10.0
    y = top + _ROW * (len(reading.layers) + 2)
    for name, colour in (*_COLOURS.items(), ("other", _OTHER)):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(x + 15, y, name))
        x += 66
    parts.append(_text(x, y, "red edge: only copies, casts or rescales", colour="#c00"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" width="{_WIDE}" '
        f'height="{height}" font-family="system-ui,sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _row(number: int, layer: EngineLayer, times_ms: Mapping[str, float]) -> str:
    way = f"{_types(layer.inputs)} -> {_types(layer.outputs)}"
    time = times_ms.get(layer.name)
    return (
        f"{number:>3} {_cut(layer.name, _NAME):{_NAME}} {layer.kind:11} {layer.precision or '?':6} "
        f"{_cut(way, 20):20} {_size(layer.weight_bytes):>9} {_size(layer.moved_bytes):>9} "
        f"{'-' if time is None else f'{time:.3f}':>8} {'yes' if layer.fused else 'no':5} "
        f"{_cut(', '.join(layer.nodes), _NODES)}"
    )


def _said(layer: EngineLayer, times_ms: Mapping[str, float]) -> str:
    if times_ms:
        return f"{times_ms[layer.name]:.3f} ms" if layer.name in times_ms else "no time"
    return _size(layer.moved_bytes)


def _types(types: Sequence[str]) -> str:
    return "/".join(dict.fromkeys(kind or "?" for kind in types)) or "-"


def _size(nbytes: int | None) -> str:
    if nbytes is None:
        return "?"
    return f"{nbytes / 1e6:.2f} MB" if nbytes >= 1e5 else f"{nbytes / 1e3:.1f} kB"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 2] + ".."


def _text(
    x: float, y: float, text: str, *, colour: str = "#111", anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(text)}</text>'
    )
