"""`gasedge plan`: which Jetson for how many cameras, by computation, before one is bought."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.bundle import Bundle
from contract.errors import ConfigError
from contract.precision import Precision

if TYPE_CHECKING:
    from export.roofline import Plan

__all__ = ["command"]

_HEAD = (
    f"{'module':20} {'precision':9} {'floor':>9} {'by memory':>9} {'planning':>11} {'cameras':>8}"
)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--module", "modules", multiple=True, help="Only this one. [default: all known]")
@click.option("--size", help="Network input as 640x480. [default: the bundle's]")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["int8", "fp16"]),
    help="Only this one. [default: both]",
)
@click.option("--fps", default=10.0, show_default=True, help="Frames a second of each camera.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    bundle: Path,
    modules: tuple[str, ...],
    size: str | None,
    precisions: tuple[str, ...],
    fps: float,
    as_json: bool,
) -> None:
    """Estimate what BUNDLE's network takes on Jetson modules; nothing is measured.

    The floor is computed from the graph's own layers and the module's data sheet. docs/jetson.md
    says what is left out and what published figures it was held against.
    """
    from export.jetson_modules import MODULES, module_named
    from export.roofline import LATENCY_FACTOR, plan_of

    opened = Bundle.open(bundle)
    width, height = _size(size, opened)
    if not fps > 0:
        raise ConfigError(f"--fps {fps:g}: give more than 0")
    graph = opened.graph(Precision.FP32)
    plans = [
        plan_of(
            graph,
            module_named(name),
            Precision(precision),
            width=width,
            height=height,
            camera_fps=fps,
        )
        for name in modules or MODULES
        for precision in precisions or ("int8", "fp16")
    ]
    if as_json:
        report = {
            "what": "planning estimate, nothing was measured",
            "model_id": opened.manifest.model_id,
            "latency_factor": LATENCY_FACTOR,
            "camera_fps": fps,
            "plans": [asdict(plan) for plan in plans],
        }
        click.echo(json.dumps(report))
        return
    click.echo(_table(plans, opened.manifest.model_id, fps))


def _size(text: str | None, bundle: Bundle) -> tuple[int, int]:
    if text is None:
        return bundle.manifest.input.width, bundle.manifest.input.height
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if found is None:
        raise ConfigError(f"--size {text!r}: give width and height, as 640x480")
    width, height = (int(each) for each in found.groups())
    if width % 32 or height % 32 or 0 in (width, height):
        raise ConfigError(f"--size {text}: each side must divide by 32")
    return width, height


def _table(plans: list[Plan], model_id: str, fps: float) -> str:
    first = plans[0]
    title = (
        f"PLANNING ESTIMATE, nothing was measured: {model_id}, {first.width}x{first.height}, "
        f"{first.gmacs:.2f} GMAC a frame, cameras at {fps:g} frames a second"
    )
    rows = [
        f"{plan.module:20} {plan.precision:9} {plan.floor_ms:>6.2f} ms "
        f"{plan.bound_by_memory:>9.0%} {plan.planning_ms:>8.1f} ms {plan.cameras:>8}"
        for plan in plans
    ]
    return "\n".join([title, _HEAD, *rows])
