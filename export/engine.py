"""Bundle -> engine beside its fingerprint, built on the machine that will run it.

The engine is built in a process of its own, so that what the builder takes is given back, and that
its death, which on a small device means too little memory, has a name. What was asked for is what
is built: the finished engine is looked into before it is kept.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import new_file, write_text
from contract.errors import ConfigError
from contract.fingerprint import (
    ENGINE_SUFFIX,
    Fingerprint,
    announce_fingerprint,
    fingerprint_path,
    sealed,
    settle_fingerprint,
)
from contract.machine import Machine, available_memory_mib, this_machine
from export.builder_process import BuildTask
from export.builder_run import build_with_less_if_needed
from export.builder_settings import BuildRequest, SizeRange
from export.builder_troubles import require_driver
from export.plan_statistics import PlanStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contract.bundle import Bundle
    from contract.precision import Precision

__all__ = [
    "BuildOptions",
    "BuiltEngine",
    "build_engine",
    "default_workspace_mib",
    "engine_path",
    "size_range",
]

log = logging.getLogger(__name__)

_WORKSPACE_MIB = (64, 4096)
_MAX_BATCH = 64
_SIZE = re.compile(r"(\d+)x(\d+)\.\.(\d+)x(\d+)")
_STEP = 32  # a network that halves five times takes sizes that divide by this
_DEFAULT_LEVEL = 3


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How an engine is built; the defaults serve one camera of the bundle's size."""

    max_batch: int = 1  # 1 builds for exactly one frame, N for 1 to N frames
    sizes: SizeRange | None = None  # None: the bundle's own size alone
    workspace_mib: int | None = None  # scratch of a kernel; None: half of what is free, 4096 most
    level: int | None = None  # optimisation level; None: 3, and less when memory runs out
    dla: bool = False
    strip: bool = False  # without weights; they come from the bundle's graph when it is loaded
    verify: bool = True  # look into the engine and refuse one of another precision
    max_reformats: int | None = None  # layers without work; None: one for two convolutions
    own_ranges: Path | None = None  # pictures that TensorRT up to 10 takes its own INT8 ranges from
    entry: str = "export.builder_process"  # module whose `main` builds; own ranges need a GPU seam


_DEFAULTS = BuildOptions()


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


def size_range(text: str) -> SizeRange:
    """Read "256x192..512x384", width before height.

    Raises:
        ConfigError: when it is no such text, or a side does not divide by 32.
    """
    found = _SIZE.fullmatch(text)
    sides = [int(side) for side in found.groups()] if found else []
    if not sides or sides[0] > sides[2] or sides[1] > sides[3] or 0 in sides:
        raise ConfigError(f"--sizes {text!r}: give the smallest and largest, as 256x192..512x384")
    if odd := [side for side in sides if side % _STEP]:
        raise ConfigError(f"--sizes {text!r}: {odd[0]} does not divide by {_STEP}")
    return SizeRange(*sides)


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
    options: BuildOptions = _DEFAULTS,
    accept: Callable[[Path], str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> BuiltEngine:
    """Build an engine and its fingerprint.

    Args:
        bundle: holds the graph.
        precision: of the graph and of the engine.
        out: folder for the engine; None puts it beside the bundle.
        rtx: build with TensorRT for RTX although there is a GPU; without one it is the only way.
        options: shapes, limits and checks.
        accept: is shown the finished engine before it takes the place of an older one; raises to
            refuse it, and its answer is kept in the fingerprint.
        beside: what the fingerprint is to say of files that stand beside the engine.

    Raises:
        ConfigError: when the bundle has no graph for this precision and TensorRT.
        EngineError: when TensorRT cannot build it, is killed or crashes.
        CheckError: when the engine is not what was asked for.
        MissingPackageError: when there is no TensorRT.
    """
    machine = this_machine()
    _check(bundle, precision, options)
    require_driver(machine)
    if machine.gpu is None and not rtx:
        rtx = True
        log.info(
            "no GPU here (%s): building ahead of time with TensorRT for RTX; a device with a "
            "Jetson or data-centre GPU builds its own engine",
            machine.gpu_note,
        )
    workspace = options.workspace_mib
    request = BuildRequest(
        precision=precision,
        max_batch=options.max_batch,
        workspace_mib=default_workspace_mib(machine) if workspace is None else workspace,
        sizes=options.sizes,
        level=_DEFAULT_LEVEL if options.level is None else options.level,
        dla=options.dla,
        strip=options.strip,
    )
    path = engine_path(bundle, precision, out, rtx=rtx)
    began = dt.datetime.now(dt.timezone.utc)
    with new_file(path) as partial, tempfile.TemporaryDirectory(prefix="gasedge-") as folder:
        task = BuildTask(
            bundle=str(bundle.path.resolve()),
            manifest_sha256=bundle.manifest_sha256,
            request={},
            rtx=rtx,
            compute_capability=machine.gpu.compute_capability if machine.gpu else None,
            verify=options.verify,
            max_reformats=options.max_reformats,
            # RTX has no use for timings, and asks for a GPU when it is given any
            timing_cache=None if rtx else str(_timing_cache(path.parent, machine)),
            progress=None,
            own_ranges=str(options.own_ranges.resolve()) if options.own_ranges else None,
            entry=options.entry,
            plan=str(partial),
            result=str(Path(folder) / "result.json"),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        result = build_with_less_if_needed(task, request, ladder=options.level is None)
        ended = dt.datetime.now(dt.timezone.utc)
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
            builder=result["builder"] | _as_asked(options) | dict(beside or {}),
            built_at=ended.isoformat(timespec="seconds"),
        )
        if accept is not None:
            fingerprint = _accepted(partial, fingerprint, accept)
        fingerprint = sealed(fingerprint)
        announce_fingerprint(path, fingerprint)
    settle_fingerprint(path)
    counts = result["statistics"]
    statistics = PlanStatistics(**counts) if counts else None
    return BuiltEngine(path, fingerprint, statistics, (ended - began).total_seconds())


def _as_asked(options: BuildOptions) -> dict[str, str | int | float | bool]:
    """What a later build must be told again; the settings themselves say only what was taken."""
    limits = {
        "asked_workspace_mib": options.workspace_mib,
        "asked_level": options.level,
        "asked_max_reformats": options.max_reformats,
    }
    return {"verified": options.verify, **{k: v for k, v in limits.items() if v is not None}}


def _check(bundle: Bundle, precision: Precision, options: BuildOptions) -> None:
    if not 1 <= options.max_batch <= _MAX_BATCH:
        raise ConfigError(f"--max-batch {options.max_batch}: give 1 to {_MAX_BATCH}")
    if precision not in bundle.precisions:
        bundle.graph(precision)  # says what there is and how to get the rest
    geometry, sizes = bundle.manifest.input, options.sizes
    if sizes and not (
        sizes.low_width <= geometry.width <= sizes.high_width
        and sizes.low_height <= geometry.height <= sizes.high_height
    ):
        raise ConfigError(
            f"--sizes {sizes}: must hold the bundle's own {geometry.width}x{geometry.height}, at "
            "which its golden frames are"
        )


def _accepted(
    candidate: Path, fingerprint: Fingerprint, accept: Callable[[Path], str]
) -> Fingerprint:
    """Show the engine, with its fingerprint beside it, to who decides about it."""
    beside = fingerprint_path(candidate)
    try:
        write_text(beside, sealed(fingerprint).model_dump_json(indent=1) + "\n")
        note = accept(candidate)
    finally:
        beside.unlink(missing_ok=True)
    return fingerprint.model_copy(update={"builder": fingerprint.builder | {"known_answer": note}})


def _timing_cache(folder: Path, machine: Machine) -> Path:
    """The file of kernel timings of this device; a GPU of another name has its own."""
    device = machine.gpu.name if machine.gpu else "no GPU"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{device} {machine.l4t or machine.driver or ''}")
    return folder / f"{name.strip('-')}.timing-cache"
