"""The process that builds an engine: TensorRT takes gigabytes, and only its end gives them back.

It reads its task as JSON from standard input, writes the plan to the given file and what came of it
to another, both made for it by `export.engine`, and logs to standard error. It offers itself to the
kernel as the first to be killed when memory runs out, before the daemon that watches the plant.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_bytes
from contract.bundle import Bundle, graph_name
from contract.errors import ConfigError, GasedgeError
from contract.precision import Precision
from contract.tensorrt_api import find_tensorrt
from export.builder_settings import (
    BuildRequest,
    SizeRange,
    settings_for_fingerprint,
    weakly_typed,
)
from export.builder_troubles import MemoryShortError, require_served_gpu
from export.built_as_asked import default_max_reformats, require_as_asked, require_few_reformats
from export.engine_from_onnx import engine_from_onnx, reading_of_engine
from export.implicit_ranges import calibrator_for, require_int8_somewhere, with_ranges
from export.onnx_opset import opset_from_onnx
from export.plan_statistics import statistics_of

if TYPE_CHECKING:
    from contract.tensorrt_api import TensorRT
    from export.implicit_ranges import FeedMaker

__all__ = ["MEMORY_SHORT", "BuildTask", "graph_for", "main"]

MEMORY_SHORT = "MemoryShort"  # the kind of error after which less is tried
_OLD_OPSET = 17  # the newest that TensorRT 8 reads
_PR_SET_PDEATHSIG = 1  # prctl(2): die with the parent, however it dies
_KILL_ME_FIRST = "1000"  # proc(5): oom_score_adj


@dataclass(frozen=True, slots=True)
class BuildTask:
    """Everything the process is told, in types that JSON carries."""

    bundle: str
    manifest_sha256: str
    request: dict[str, Any]  # a BuildRequest
    rtx: bool
    compute_capability: str | None  # of this machine's GPU
    verify: bool  # look into the engine and refuse one of another precision
    max_reformats: int | None  # None takes the default
    timing_cache: str | None  # file
    progress: int | None  # file descriptor
    plan: str  # file to write the engine to
    result: str  # file to write the result to
    log_level: int
    own_ranges: str | None = None  # folder of pictures that TensorRT takes its own ranges from
    entry: str = "export.builder_process"  # module whose `main` is the process

    def as_json(self) -> str:
        """For the process's standard input."""
        return json.dumps(asdict(self))


def main(feed_of: FeedMaker | None = None) -> None:
    """Do the task on standard input; every outcome but a crash is written to its result file.

    Args:
        feed_of: makes what puts frames of a size in bytes on the GPU, for TensorRT's own ranges.
    """
    task = BuildTask(**json.load(sys.stdin))
    _die_with(os.getppid())
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST, encoding="ascii")
    logging.basicConfig(
        level=task.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        result = _built(task, feed_of)
    except MemoryShortError as error:
        result = {"error": MEMORY_SHORT, "message": str(error)}
    except GasedgeError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        result = {"error": MEMORY_SHORT, "message": "not enough memory to build an engine"}
    except OSError as error:
        result = {"error": "GasedgeError", "message": f"{error.filename}: {error.strerror}"}
    Path(task.result).write_text(json.dumps(result), encoding="utf-8")


def graph_for(bundle: Bundle, precision: Precision, tensorrt: TensorRT) -> tuple[str, bytes]:
    """Name and checked bytes of the graph that this TensorRT can read.

    Raises:
        ConfigError: when the bundle has no such graph.
    """
    name, graph = graph_name(precision), bundle.graph(precision)
    opset = opset_from_onnx(graph)
    if not weakly_typed(tensorrt.module) or opset <= _OLD_OPSET:
        return name, graph
    old = f"model.{precision}.opset{_OLD_OPSET}.onnx"
    if old not in bundle.manifest.files:
        raise ConfigError(
            f"{tensorrt.label} reads graphs up to opset {_OLD_OPSET}, but {bundle.path / name} is "
            f"of opset {opset} and there is no {old} beside it; add it: "
            "gasedge calibrate ... --opset17"
        )
    return old, bundle.read(old)


def _built(task: BuildTask, feed_of: FeedMaker | None) -> dict[str, Any]:
    bundle = Bundle.open(Path(task.bundle), manifest_sha256=task.manifest_sha256)
    tensorrt = find_tensorrt(rtx=task.rtx)
    require_served_gpu(tensorrt, task.compute_capability)
    request = with_ranges(_request(task.request), bundle, tensorrt, own=bool(task.own_ranges))
    graph_precision = Precision.FP32 if request.implicit else request.precision
    name, graph = graph_for(bundle, graph_precision, tensorrt)
    pictures = Path(task.own_ranges) if task.own_ranges else None
    with calibrator_for(request, bundle, tensorrt, pictures, feed_of) as calibrator:
        built = engine_from_onnx(
            tensorrt,
            graph,
            request,
            timing_cache=Path(task.timing_cache) if task.timing_cache else None,
            progress=task.progress,
            calibrator=calibrator,
        )
    # The fingerprint names the precision's own graph, by which a bundle finds its engine; where
    # an older TensorRT was given the same network in an older opset, that file is named beside it.
    builder = settings_for_fingerprint(tensorrt, request) | {
        "graph": name,
        "graph_sha256": sha256_of_bytes(graph),
    }
    statistics = None
    if task.verify:
        reading = reading_of_engine(tensorrt, built.engine)
        statistics = statistics_of(reading)
        weak = weakly_typed(tensorrt.module)
        if request.implicit:
            require_int8_somewhere(statistics, dla=request.dla)
        else:
            require_as_asked(reading, built.asked, request.precision, weakly_typed=weak)
        most = task.max_reformats
        require_few_reformats(reading, default_max_reformats(built.asked) if most is None else most)
    Path(task.plan).write_bytes(built.engine)
    return {
        "tensorrt": tensorrt.label,
        "graph_sha256": bundle.manifest.files[graph_name(request.precision)].sha256,
        "engine_sha256": sha256_of_bytes(built.engine),
        "engine_bytes": len(built.engine),
        "builder": builder,
        "statistics": statistics.as_dict() if statistics else None,
    }


def _request(fields: dict[str, Any]) -> BuildRequest:
    sizes = fields["sizes"]
    kept = {
        "precision": Precision(fields["precision"]),
        "sizes": SizeRange(**sizes) if sizes else None,
    }
    return BuildRequest(**fields | kept)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
