"""Charts as inline SVG, drawn by hand so that a page needs no plotting library."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "bar_chart", "line_chart"]

COLOURS = ("#1f6fb4", "#d95f02", "#2c8c57", "#7b4fa3", "#a6761d", "#666666")
_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 70  # margins


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; a point whose value is not finite is left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    wide: bool = False
    points: bool = False
    grey: bool = False  # a line to compare with


def bar_chart(
    title: str,
    groups: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    *,
    notes: Sequence[str],
    x_title: str,
) -> str:
    """Bars from 0 to 1, side by side in groups; a value of None has no bar.

    Args:
        title: above the chart.
        groups: names along the x axis.
        series: (name, one value for each group).
        notes: one short line under each group's name, such as its count.
        x_title: below the axis.
    """
    plot = _Plot((0, len(groups)), (0, 1))
    parts = plot.frame(title, x_title, [0, 0.25, 0.5, 0.75, 1])
    wide = 0.8 / max(1, len(series))
    for at, group in enumerate(groups):
        for number, (_, values) in enumerate(series):
            value = values[at]
            if value is None:
                continue
            left, top = plot.at(at + 0.1 + number * wide, value)
            right, bottom = plot.at(at + 0.1 + (number + 0.92) * wide, 0)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}" fill="{COLOURS[number]}">'
                f"<title>{value:.3f}</title></rect>"
            )
        x, y = plot.at(at + 0.5, 0)
        parts.append(_text(x, y + 14, group))
        parts.append(_text(x, y + 27, notes[at], grey=True))
    return _svg(parts + _legend([(name, COLOURS[i]) for i, (name, _) in enumerate(series)]))


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_title: str,
    y_limits: tuple[float, float] | None = None,
    x_limits: tuple[float, float] | None = None,
) -> str:
    """Lines over a common x axis; limits that are not given are those of the values."""
    kept = [
        (line, [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)])
        for line in lines
    ]
    points = [point for _, line in kept for point in line] or [(0.0, 0.0)]
    plot = _Plot(
        x_limits or (min(x for x, _ in points), max(x for x, _ in points)),
        y_limits or (min(0.0, *(y for _, y in points)), max(y for _, y in points)),
    )
    parts = plot.frame(title, x_title, plot.ticks(plot.y_limits), plot.ticks(plot.x_limits))
    names, number = [], 0
    for line, values in kept:
        colour = "#999999" if line.grey else COLOURS[number % len(COLOURS)]
        number += not line.grey
        names.append((line.name, colour))
        places = [plot.at(x, y) for x, y in values]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dashes = ' stroke-dasharray="4 3"' if line.grey else ""
        parts.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" '
            f'stroke-width="{2.5 if line.wide else 1.4}"{dashes}/>'
        )
        if line.points or len(values) == 1:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
                f"<title>{value[0]:.3g}: {value[1]:.3f}</title></circle>"
                for (x, y), value in zip(places, values, strict=True)
            ]
    return _svg(parts + _legend(names))


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where values lie on the drawing."""

    x_limits: tuple[float, float]
    y_limits: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        def along(value: float, limits: tuple[float, float]) -> float:
            return (value - limits[0]) / ((limits[1] - limits[0]) or 1)

        across, up = along(x, self.x_limits), along(y, self.y_limits)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    @staticmethod
    def ticks(limits: tuple[float, float]) -> list[float]:
        """Four to ten round numbers inside the limits."""
        span = (limits[1] - limits[0]) or 1.0
        step = 10 ** math.floor(math.log10(span))
        while span / step < 4:
            step /= 2
        first = math.ceil(limits[0] / step)
        return [n * step for n in range(first, math.floor(limits[1] / step + 1e-9) + 1)]

    def frame(
        self, title: str, x_title: str, y_ticks: Sequence[float], x_ticks: Sequence[float] = ()
    ) -> list[str]:
        parts = [f'<text x="{_LEFT}" y="16" font-weight="600">{html.escape(title)}</text>']
        for value in y_ticks:
            left, y = self.at(self.x_limits[0], value)
            right, _ = self.at(self.x_limits[1], value)
            parts.append(
                f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            )
            parts.append(_text(left - 6, y + 4, f"{value:g}", anchor="end"))
        for value in x_ticks:
            x, y = self.at(value, self.y_limits[0])
            parts.append(_text(x, y + 14, f"{value:g}"))
        parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - _BOTTOM + 43, x_title))
        return parts


def _text(x: float, y: float, text: str, *, anchor: str = "middle", grey: bool = False) -> str:
    colour = ' fill="#777"' if grey else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{colour}>{html.escape(text)}</text>'
    )


def _legend(names: Sequence[tuple[str, str]]) -> list[str]:
    parts, x = [], float(_LEFT)
    for name, colour in names:
        y = _HEIGHT - 8
        parts.append(f'<rect x="{x:.1f}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, y, name, anchor="start"))
        x += 30 + 6.2 * len(name)
    return parts


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="system-ui,sans-serif" font-size="11" role="img">' + "".join(parts) + "</svg>"
    )
