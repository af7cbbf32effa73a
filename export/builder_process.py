"""The process that builds an engine: TensorRT takes gigabytes, and only its end gives them back.

It reads its task as JSON from standard input, writes the plan to the given file and what came of it
to another, both made for it by `export.engine`, and logs to standard error.
"""

from __future__ import annotations

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
from contract.errors import ConfigError, GasedgeError, IntegrityError
from contract.precision import Precision
from contract.tensorrt_api import find_tensorrt
from export.builder_settings import BuildRequest, settings_for_fingerprint, weakly_typed
from export.engine_from_onnx import engine_from_onnx, statistics_of_engine
from export.onnx_opset import opset_from_onnx
from export.plan_statistics import require_precision

if TYPE_CHECKING:
    from contract.tensorrt_api import TensorRT

__all__ = ["BuildTask", "graph_for", "main"]

_OLD_OPSET = 17  # the newest that TensorRT 8 reads
_PR_SET_PDEATHSIG = 1  # prctl(2): die with the parent, however it dies


@dataclass(frozen=True, slots=True)
class BuildTask:
    """Everything the process is told, in types that JSON carries."""

    bundle: str
    manifest_sha256: str
    precision: str
    max_batch: int
    workspace_mib: int
    rtx: bool
    verify: bool  # look into the engine and refuse one of another precision
    plan: str  # file to write the engine to
    result: str  # file to write the result to
    log_level: int

    def as_json(self) -> str:
        """For the process's standard input."""
        return json.dumps(asdict(self))


def main() -> None:
    """Do the task on standard input; every outcome but a crash is written to its result file."""
    task = BuildTask(**json.load(sys.stdin))
    _die_with(os.getppid())
    logging.basicConfig(
        level=task.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        result = _built(task)
    except GasedgeError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        result = {"error": "EngineError", "message": "not enough memory to build an engine"}
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


def _built(task: BuildTask) -> dict[str, Any]:
    bundle = Bundle.open(Path(task.bundle))
    if bundle.manifest_sha256 != task.manifest_sha256:
        raise IntegrityError(f"{bundle.path}: was changed while its engine was being built")
    tensorrt = find_tensorrt(rtx=task.rtx)
    request = BuildRequest(Precision(task.precision), task.max_batch, task.workspace_mib)
    name, graph = graph_for(bundle, request.precision, tensorrt)
    engine = engine_from_onnx(tensorrt, graph, request)
    # The fingerprint names the precision's own graph, by which a bundle finds its engine; where
    # an older TensorRT was given the same network in an older opset, that file is named beside it.
    builder = settings_for_fingerprint(tensorrt, request) | {
        "graph": name,
        "graph_sha256": sha256_of_bytes(graph),
    }
    statistics = None
    if task.verify:
        statistics = statistics_of_engine(tensorrt, engine)
        require_precision(statistics, request.precision)
    Path(task.plan).write_bytes(engine)
    return {
        "tensorrt": tensorrt.label,
        "graph_sha256": bundle.manifest.files[graph_name(request.precision)].sha256,
        "engine_sha256": sha256_of_bytes(engine),
        "engine_bytes": len(engine),
        "builder": builder,
        "convolutions": statistics.as_dict() if statistics else None,
    }


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
