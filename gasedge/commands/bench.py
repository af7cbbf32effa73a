"""`gasedge bench`: latency and throughput of a bundle per backend and precision on this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.bundle import Bundle
from contract.errors import GasedgeError
from contract.fingerprint import read_fingerprint
from contract.precision import Precision

if TYPE_CHECKING:
    from contract.segmenter import Segmenter
    from contract.timing import Timing

__all__ = ["command"]

_BACKENDS = ("openvino", "onnxruntime", "tensorrt")
_WARM_UP = 5
_VERSIONS = ("gasedge", "numpy", "onnxruntime", "openvino", "tensorrt", "pycuda")

_HEAD = (
    f"{'backend':12} {'precision':9} {'median':>9} {'p90':>9} {'p99':>9} {'fps':>7} {'x fp32':>7}"
)

Contestant = tuple[str, Precision]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--backend",
    "backends",
    type=click.Choice(_BACKENDS),
    multiple=True,
    help="Only this backend; may be repeated. [default: all]",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice([str(p) for p in Precision]),
    multiple=True,
    help="Only this precision; may be repeated. [default: all]",
)
@click.option(
    "--engine",
    "engines",
    type=click.Path(path_type=Path),
    multiple=True,
    help="TensorRT engine built here from this bundle; may be repeated.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option(
    "--calls", type=click.IntRange(min=1), default=12, show_default=True, help="Calls a round."
)
@click.option("--batch", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    bundle: Path,
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    engines: tuple[Path, ...],
    rounds: int,
    calls: int,
    batch: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Time BUNDLE on every backend and precision that runs here, in interleaved rounds.

    What cannot run here is listed with the reason. A backend that fails the known-answer test is
    not timed: a fast wrong answer is no result.
    """
    from contract.machine import this_machine
    from contract.packages import versions_of
    from contract.timing import time_in_turns

    opened, machine = Bundle.open(bundle), this_machine()
    wanted = [
        (backend, precision)
        for backend in backends or _BACKENDS
        for precision in Precision
        if not precisions or str(precision) in precisions
    ]
    not_run: dict[Contestant, str] = {}
    with ExitStack() as stack:
        ready: dict[Contestant, Segmenter] = {}
        by_precision = {read_fingerprint(each).precision: each for each in engines}
        for backend, precision in wanted:
            engine = by_precision.get(precision) if backend == "tensorrt" else None
            if backend == "tensorrt" and machine.gpu is None:
                not_run[backend, precision] = machine.gpu_note or "no NVIDIA GPU"
                continue
            try:
                ready[backend, precision] = _trusted(
                    stack, opened, precision, backend, engine, threads
                )
            except GasedgeError as error:
                not_run[backend, precision] = str(error)
        timings = time_in_turns(
            {f"{backend} {precision}": each for (backend, precision), each in ready.items()},
            _frames(opened, batch),
            rounds=rounds,
            calls=calls,
            warm_up=_WARM_UP,
        )
        names = {key: each.name for key, each in ready.items()}
    report: dict[str, Any] = {
        "bundle": str(bundle),
        "model_id": opened.manifest.model_id,
        "input": opened.manifest.input.model_dump(mode="json"),
        "machine": str(machine),
        "load_average": os.getloadavg()[0],
        "versions": versions_of(_VERSIONS),
        "command": shlex.join(["gasedge", *sys.argv[1:]]),
        "warm_up_calls": _WARM_UP,
        "rounds": rounds,
        "calls_per_round": calls,
        "batch": batch,
        "threads": threads,
        "runs": [_run(key, name, timings) for key, name in names.items()],
        "not_run": [
            {"backend": backend, "precision": str(precision), "reason": reason}
            for (backend, precision), reason in not_run.items()
        ],
    }
    click.echo(json.dumps(report) if as_json else _table(report))
    if not names:
        raise GasedgeError(f"{bundle}: nothing of what was asked for runs on this machine")


def _trusted(
    stack: ExitStack,
    bundle: Bundle,
    precision: Precision,
    backend: str,
    engine: Path | None,
    threads: int | None,
) -> Segmenter:
    from contract.errors import CheckError
    from edge_runtime.backends.known_answer import known_answer_test
    from edge_runtime.backends.open import open_backend

    segmenter = stack.enter_context(
        open_backend(bundle, precision, backend=backend, engine=engine, threads=threads)
    )
    answer = known_answer_test(segmenter, bundle, precision)
    if not answer.passed:
        segmenter.close()
        raise CheckError(answer.detail)
    return segmenter


def _frames(bundle: Bundle, batch: int) -> Any:
    """The bundle's golden frames, over and over until the batch is full."""
    import numpy as np

    from edge_runtime.backends.known_answer import golden_frame

    golden = [golden_frame(bundle, entry) for entry in bundle.manifest.golden]
    return np.stack([golden[i % len(golden)] for i in range(batch)])


def _run(key: Contestant, name: str, timings: dict[str, Timing]) -> dict[str, Any]:
    from contract.timing import speed_up

    backend, precision = key
    timing = timings[f"{backend} {precision}"]
    fp32 = timings.get(f"{backend} {Precision.FP32}")
    return {
        "backend": backend,
        "precision": str(precision),
        "name": name,
        "median_ms": timing.percentile(50),
        "p90_ms": timing.percentile(90),
        "p99_ms": timing.percentile(99),
        "frames_per_s": timing.frames_per_second,
        "calls": len(timing.latencies),
        "times_fp32": None if fp32 is None else speed_up(timing, fp32),
    }


def _table(report: dict[str, Any]) -> str:
    size = report["input"]
    how = (
        f"{report['rounds']} interleaved rounds of {report['calls_per_round']} calls, "
        f"{report['warm_up_calls']} calls to warm up: {report['command']}"
    )
    lines = [
        f"{report['model_id']}, {size['width']}x{size['height']}, batch {report['batch']}",
        f"{report['machine']}; load {report['load_average']:.1f}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        how,
        "",
        _HEAD,
    ]
    for run in report["runs"]:
        ratio = "-" if run["times_fp32"] is None else f"{run['times_fp32']:.2f}"
        lines.append(
            f"{run['backend']:12} {run['precision']:9} {run['median_ms']:>6.2f} ms "
            f"{run['p90_ms']:>6.2f} ms {run['p99_ms']:>6.2f} ms {run['frames_per_s']:>7.1f} "
            f"{ratio:>7}"
        )
    lines += [
        f"{each['backend']:12} {each['precision']:9} not run: {each['reason']}"
        for each in report["not_run"]
    ]
    return "\n".join(lines)
