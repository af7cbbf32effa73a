"""Bundle -> engine beside its fingerprint, built on the machine that will run it.

The engine is built in a process of its own, so that what the builder takes is given back, and that
its death, which on a small device means too little memory, has a name. What was asked for is what
is built: the finished engine is looked into before it is kept.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from contract import errors
from contract.atomic import new_file, write_text
from contract.errors import ConfigError, EngineError, GasedgeError
from contract.fingerprint import ENGINE_SUFFIX, Fingerprint, fingerprint_path
from contract.machine import Machine, available_memory_mib, this_machine
from export.builder_process import BuildTask
from export.plan_statistics import PlanStatistics

if TYPE_CHECKING:
    from contract.bundle import Bundle
    from contract.precision import Precision

__all__ = ["BuiltEngine", "build_engine", "default_workspace_mib", "engine_path"]

log = logging.getLogger(__name__)

_WORKSPACE_MIB = (64, 4096)
_MAX_BATCH = 64
# Started with -I: nothing of the current folder or the environment is imported before the paths
# of this process are taken over.
_START = "import sys; sys.path[:] = {path!r}; from export.builder_process import main; main()"


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A finished engine."""

    path: Path
    fingerprint: Fingerprint
    statistics: PlanStatistics | None  # None when it was not looked into
    seconds: float  # that the build took


def engine_path(bundle: Bundle, precision: Precision, out: Path | None, *, rtx: bool) -> Path:
    """Where the engine of a bundle is put: in `out`, or beside the bundle."""
    folder = bundle.path.resolve().parent if out is None else out
    kind = f"{precision}.rtx" if rtx else str(precision)
    return folder / f"{bundle.path.resolve().stem}.{kind}{ENGINE_SUFFIX}"


def default_workspace_mib(machine: Machine) -> int:
    """Half of the memory that a kernel's scratch may come from, within bounds.

    A Jetson's GPU shares the memory of its CPU; other GPUs have their own.
    """
    own = machine.gpu is not None and machine.l4t is None
    memory = machine.gpu.memory_mib if own and machine.gpu else available_memory_mib()
    low, high = _WORKSPACE_MIB
    return max(low, min(high, memory // 2))


def build_engine(
    bundle: Bundle,
    precision: Precision,
    *,
    out: Path | None = None,
    rtx: bool = False,
    max_batch: int = 1,
    workspace_mib: int | None = None,
    verify: bool = True,
) -> BuiltEngine:
    """Build an engine and its fingerprint.

    Args:
        bundle: holds the graph.
        precision: of the graph and of the engine.
        out: folder for the engine; None puts it beside the bundle.
        rtx: build with TensorRT for RTX although there is a GPU; without one it is the only way.
        max_batch: 1 builds for exactly one frame, N for 1 to N frames.
        workspace_mib: scratch memory of a kernel; None takes half of what is free, 4096 at most.
        verify: look into the engine and refuse one that computes in another precision.

    Raises:
        ConfigError: when the bundle has no graph for this precision and TensorRT.
        EngineError: when TensorRT cannot build it, is killed or crashes.
        CheckError: when the engine has no convolution of the precision.
        MissingPackageError: when there is no TensorRT.
    """
    if not 1 <= max_batch <= _MAX_BATCH:
        raise ConfigError(f"--max-batch {max_batch}: give 1 to {_MAX_BATCH}")
    if precision not in bundle.precisions:
        bundle.graph(precision)  # says what there is and how to get the rest
    machine = this_machine()
    if machine.gpu is None and not rtx:
        rtx = True
        log.info(
            "no GPU here (%s): building ahead of time with TensorRT for RTX; a device with a "
            "Jetson or data-centre GPU builds its own engine",
            machine.gpu_note,
        )
    workspace = default_workspace_mib(machine) if workspace_mib is None else workspace_mib
    path = engine_path(bundle, precision, out, rtx=rtx)
    began = dt.datetime.now(dt.timezone.utc)
    with new_file(path) as partial, tempfile.TemporaryDirectory(prefix="gasedge-") as folder:
        task = BuildTask(
            bundle=str(bundle.path.resolve()),
            manifest_sha256=bundle.manifest_sha256,
            precision=str(precision),
            max_batch=max_batch,
            workspace_mib=workspace,
            rtx=rtx,
            verify=verify,
            plan=str(partial),
            result=str(Path(folder) / "result.json"),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        result = _run(task)
    ended = dt.datetime.now(dt.timezone.utc)
    counts = result["convolutions"]
    fingerprint = Fingerprint(
        model_id=bundle.manifest.model_id,
        precision=precision,
        graph_sha256=result["graph_sha256"],
        engine_sha256=result["engine_sha256"],
        engine_bytes=result["engine_bytes"],
        tensorrt=result["tensorrt"],
        gpu_name=machine.gpu.name if machine.gpu else None,
        compute_capability=machine.gpu.compute_capability if machine.gpu else None,
        driver=machine.driver,
        l4t=machine.l4t,
        builder=result["builder"] | {"verified": verify},
        built_at=ended.isoformat(timespec="seconds"),
    )
    write_text(fingerprint_path(path), fingerprint.model_dump_json(indent=1) + "\n")
    statistics = PlanStatistics(**counts) if counts else None
    return BuiltEngine(path, fingerprint, statistics, (ended - began).total_seconds())


def _run(task: BuildTask) -> dict[str, Any]:
    """Run the task in its own process and give its result, or raise what it raised."""
    free_mib = available_memory_mib()
    command = [sys.executable, "-I", "-c", _START.format(path=[p for p in sys.path if p])]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        command, stdin=subprocess.PIPE, stdout=2, text=True, start_new_session=True
    )
    stdin = process.stdin
    if stdin is None:
        raise RuntimeError("the builder process has no standard input")
    try:
        what = f"building the {task.precision} engine"
        with tqdm(desc=what, bar_format="{desc} {elapsed}", leave=False, disable=None) as clock:
            with contextlib.suppress(BrokenPipeError):  # it died at once: its code says how
                stdin.write(task.as_json())
                stdin.close()
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                clock.refresh()
    finally:
        process.kill()  # after an interrupt; no effect on a process that has ended
        process.wait()
    try:
        result: dict[str, Any] = json.loads(Path(task.result).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _death(process.returncode, task, free_mib) from None
    if "error" in result:
        kind: type[GasedgeError] = getattr(errors, result["error"])
        raise kind(result["message"])
    return result


def _death(code: int, task: BuildTask, free_mib: int) -> EngineError:
    if code == -signal.SIGKILL:
        return EngineError(
            "the engine builder was killed, as the kernel does when memory runs out "
            f"({free_mib} MiB were free, workspace {task.workspace_mib} MiB): end other programs, "
            "add swap, or give a smaller --workspace-mib"
        )
    if code < 0:
        name = signal.Signals(-code).name
        return EngineError(f"the engine builder crashed ({name}); its last messages stand above")
    return EngineError(f"the engine builder ended with code {code}; run again with --debug")
