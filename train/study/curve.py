"""The learning curve of a transfer study, drawn as SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.study.spread import Spread

__all__ = ["draw_curve"]

_MEASURES = ("gas-smoke IoU", "image mean IoU")


def draw_curve(
    curve: Mapping[str, Mapping[int, Mapping[str, Spread]]],
    without: Mapping[str, Spread],
) -> bytes:
    """Draw mean and standard deviation over seeds against the number of labelled gas frames.

    Args:
        curve: way of training -> number of frames -> measure -> score.
        without: scores of the network that saw no gas frame.
    """
    figures = need("matplotlib.figure", extra="train")
    figure = figures.Figure(figsize=(10, 4), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), _MEASURES, strict=True):
        for way, points in curve.items():
            counts = list(points)
            axes.errorbar(
                counts,
                [points[count][measure].mean for count in counts],
                [points[count][measure].deviation or 0 for count in counts],
                marker="o",
                capsize=4,
                label=way,
            )
        axes.axhline(without[measure].mean, color="grey", linestyle="--", label="smoke, no gas")
        axes.set(title=measure, xlabel="labelled gas frames", xscale="log", ylim=(0, 1))
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
