"""Sections of the page that show the network's inside: noise by layer, ranges, time."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from contract.precision import Precision
from contract.score_page import folded, heading, paragraph, table
from contract.svg_charts import Line, line_chart
from contract.timing import speed_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.report.compared import Compared
    from calibration.report.layers import LayerNoise, RangeUse
    from contract.calibrated_ranges import RangeTable, TensorRanges

__all__ = ["decibel", "layer_sections", "range_sections", "time_sections"]

_OPEN = 4  # histograms that are shown without a click
_BARS = 64
_FLOOR = -7.0  # log10 of the smallest share that a histogram shows


def decibel(value: float | None) -> str:
    """A signal-to-noise ratio as tables show it."""
    if value is None:
        return "no signal"
    return "exact" if math.isinf(value) else f"{value:.1f}"


def layer_sections(layers: Sequence[LayerNoise], n_frames: int) -> list[str]:
    """Signal-to-noise of every convolution, in the network's order."""
    known = [
        (at, each.noise.decibel or 0.0)
        for at, each in enumerate(layers, 1)
        if each.noise.decibel is not None and math.isfinite(each.noise.decibel)
    ]
    int8 = [(at, value) for at, value in known if layers[at - 1].int8]
    rows = []
    before: float | None = None
    for at, each in enumerate(layers, 1):
        value = each.noise.decibel
        step = "" if None in (before, value) else f"{(value or 0) - (before or 0):+.1f}"
        step = "" if "inf" in step or "nan" in step else step
        kind = "INT8" if each.int8 else "FP16"
        rows.append([str(at), each.name, kind, decibel(value), step])
        before = value
    return [
        heading("Noise by layer"),
        paragraph(
            f"Each convolution's output in the INT8 graph against FP32 on {n_frames} control "
            "pictures, run node by node: signal to noise in dB, with the noise of all layers "
            "before it. 20 dB is an error of 10 % of the signal, 40 dB of 1 %. A layer after which "
            "it falls steeply is where the damage is done."
        ),
        line_chart(
            "Signal to noise, dB",
            [
                Line("all layers", [at for at, _ in known], [v for _, v in known], grey=True),
                Line("INT8 layers", [at for at, _ in int8], [v for _, v in int8], points=True),
            ],
            x_title="convolution, in the network's order",
        ),
        folded("All layers", [table(["", "layer", "runs in", "dB", "step"], rows)]),
    ]


def range_sections(ranges: Sequence[RangeUse], seen: RangeTable, n_frames: int) -> list[str]:
    """Histograms with the chosen clip, worst first.

    Args:
        ranges: as measured on the control pictures.
        seen: what the calibration frames showed.
        n_frames: how many control pictures.
    """
    worst_first = sorted(ranges, key=lambda each: _rank(each.noise.decibel))
    rows = [
        [
            each.tensor,
            ", ".join(each.feeds) or "addition, pooling or resize",
            f"{each.clip:.4g}",
            _largest(seen.tensors.get(each.tensor)),
            f"{each.values.largest:.4g}",
            f"{each.clipped_share:.4%}",
            decibel(each.noise.decibel),
        ]
        for each in worst_first
    ]
    heads = ["activation", "feeds", "clip", "largest, calibration", "largest, control"]
    charts = [_histogram(each, seen.tensors.get(each.tensor)) for each in worst_first]
    return [
        heading("Ranges"),
        paragraph(
            f"FP32's values of each activation that INT8 rounds, on {n_frames} control pictures. "
            "The clip is the largest magnitude that the INT8 graph holds; what lies above is cut "
            "off. dB is what this range alone adds, rounding and clipping together. Worst first."
        ),
        *charts[:_OPEN],
        *([folded(f"The other {len(charts) - _OPEN} ranges", charts[_OPEN:])] * (len(charts) > 4)),
        folded("All ranges as a table", [table([*heads, "clipped", "dB"], rows)]),
    ]


def _rank(value: float | None) -> float:
    return math.inf if value is None else value


def _largest(seen: TensorRanges | None) -> str:
    """Upper edge of the highest bin that the calibration frames filled."""
    if seen is None:
        return "-"
    filled = np.flatnonzero(seen.counts)
    return f"{seen.edge * (filled[-1] + 1) / len(seen.counts):.4g}" if len(filled) else "0"


def _histogram(each: RangeUse, seen: TensorRanges | None) -> str:
    lines = []
    if seen is not None:
        lines.append(_line("calibration frames", seen.counts, seen.edge))
    lines.append(_line("control pictures", each.values.counts, each.values.top))
    ends = [end for line in lines for end in line.x[-1:]]
    return line_chart(
        f"{each.tensor}: {decibel(each.noise.decibel)} dB, {each.clipped_share:.3%} clipped",
        [*lines, Line(f"clip {each.clip:.4g}", [each.clip] * 2, [_FLOOR, 0], grey=True)],
        x_title="magnitude; up: log10 of the share of values",
        x_limits=(0, max(each.clip, *ends)),
        y_limits=(_FLOOR, 0),
    )


def _line(name: str, counts: Sequence[int] | NDArray[np.int64], edge: float) -> Line:
    """A histogram in `_BARS` bars, up to the last that holds a value."""
    bars = np.asarray(counts).reshape(_BARS, -1).sum(axis=1)
    filled = np.flatnonzero(bars)
    bars = bars[: filled[-1] + 1] if len(filled) else bars[:1]
    shares = np.maximum(bars / max(1, bars.sum()), 10**_FLOOR)
    middles = (np.arange(len(bars)) + 0.5) * edge / _BARS
    return Line(name, middles.tolist(), np.log10(shares).tolist())


def time_sections(compared: Compared, machine: str) -> list[str]:
    """Time of each precision on this machine."""
    fp32 = compared.timings[Precision.FP32]
    rows = [
        [
            str(precision).upper(),
            compared.backends[precision],
            f"{each.percentile(50):.2f}",
            f"{each.percentile(90):.2f}",
            f"{speed_up(each, fp32):.2f}",
        ]
        for precision, each in compared.timings.items()
    ]
    some = next(iter(compared.timings.values()))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float(np.nan)
    return [
        heading("Time"),
        paragraph(
            f"One picture a call, {len(some.rounds)} interleaved rounds of {len(some.rounds[0])} "
            f"calls on {machine}; load {load:.1f}. On a busy machine trust the ratio (median over "
            "rounds), not the milliseconds. They say nothing about a GPU."
        ),
        table(["", "runs on", "median, ms", "p90, ms", "times as fast as FP32"], rows),
    ]
