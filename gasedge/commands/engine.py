"""`gasedge engine`: look into a finished engine."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.errors import ConfigError, EngineError, IntegrityError

if TYPE_CHECKING:
    from contract.fingerprint import Fingerprint
    from export.engine_layers import EngineReading

__all__ = ["command"]

_PICTURES = (".svg", ".html")
_RUNS = 50


@click.group("engine")
def command() -> None:
    """Look into a finished engine."""


@command.command("show")
@click.argument("engine", type=click.Path(path_type=Path))
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Its bundle: time each layer on a golden frame, where there is a GPU.",
)
@click.option("--picture", type=click.Path(path_type=Path), help="Write a picture: .svg or .html.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(engine: Path, bundle: Path | None, picture: Path | None, as_json: bool) -> None:
    """Layers of ENGINE: precision, memory, time, and which nodes of the graph each one holds.

    An engine of TensorRT for RTX is read anywhere; TensorRT's own only where it can be loaded.
    """
    from contract.atomic import write_text
    from contract.fingerprint import read_fingerprint
    from export.engine_page import engine_facts, engine_svg, engine_table
    from export.plan_statistics import statistics_of

    if picture is not None and picture.suffix.lower() not in _PICTURES:
        raise ConfigError(f"{picture}: a picture's name ends in {' or '.join(_PICTURES)}")
    if not engine.is_file():
        raise ConfigError(f"{engine}: is not a file; make one: gasedge build-engine")
    fingerprint = read_fingerprint(engine)
    reading = _reading(engine, fingerprint)
    times_ms, not_timed = _times(engine, fingerprint, bundle)
    facts = engine_facts(engine, fingerprint, reading)
    if picture is not None:
        bars = "milliseconds of one frame" if times_ms else f"bytes moved ({not_timed})"
        svg = engine_svg(facts, reading, times_ms, f"bars: {bars}")
        page = (
            f"<!doctype html><meta charset=utf-8><title>{html.escape(engine.name)}</title>{svg}\n"
        )
        write_text(picture, page if picture.suffix.lower() == ".html" else svg + "\n")
    if as_json:
        layers = [
            layer.as_dict() | {"time_ms": times_ms.get(layer.name)} for layer in reading.layers
        ]
        said = {
            "engine": str(engine),
            "fingerprint": fingerprint.model_dump(mode="json"),
            "statistics": statistics_of(reading).as_dict(),
            "scratch_bytes": reading.scratch_bytes,
            "not_timed": not_timed,
            "layers": layers,
        }
        click.echo(json.dumps(said))
        return
    timed = not_timed or f"timed: median of {_RUNS} runs, {sum(times_ms.values()):.3f} ms in all"
    click.echo("\n".join([*facts, timed, "", *engine_table(reading, times_ms)]))


def _reading(engine: Path, fingerprint: Fingerprint) -> EngineReading:
    from contract.atomic import sha256_of_file
    from contract.machine import this_machine
    from export.engine_from_onnx import reading_of_engine
    from export.rtx_plan import reading_from_rtx_plan

    if sha256_of_file(engine) != fingerprint.engine_sha256:
        raise IntegrityError(
            f"{engine}: is not the engine that its fingerprint was written for; build it anew"
        )
    if fingerprint.tensorrt.startswith("tensorrt_rtx"):
        return reading_from_rtx_plan(engine.read_bytes())
    machine = this_machine()
    if machine.gpu is None:
        raise EngineError(
            f"{engine}: TensorRT tells the layers only where it can load the engine, and here is "
            f"{machine.gpu_note}; look at it on the machine that built it"
        )
    from edge_runtime.cuda.tensorrt_engine import checked_engine

    data, _, tensorrt = checked_engine(engine, {})
    return reading_of_engine(tensorrt, data)


def _times(
    engine: Path, fingerprint: Fingerprint, bundle: Path | None
) -> tuple[dict[str, float], str | None]:
    """Milliseconds by layer, or none and why."""
    from contract.machine import this_machine

    machine = this_machine()
    if machine.gpu is None:
        return {}, f"not timed: no GPU ({machine.gpu_note})"
    if bundle is None:
        return {}, "not timed: give --bundle, whose golden frame the engine can run"
    from contract.bundle import Bundle
    from edge_runtime.backends.known_answer import golden_frame
    from edge_runtime.backends.open import open_engine

    opened = Bundle.open(bundle)
    if not opened.manifest.golden:
        return {}, f"not timed: {bundle} has no golden frame"
    frame = golden_frame(opened, opened.manifest.golden[0])[None]
    with open_engine(opened, fingerprint.precision, engine) as segmenter:
        return segmenter.layer_times_ms(frame, runs=_RUNS), None
