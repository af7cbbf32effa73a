"""Deploy graph -> TensorRT plan, with what TensorRT said turned into one clear error."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contract.errors import EngineError
from contract.machine import available_memory_mib
from export.builder_settings import BuildRequest, configure, network_flags
from export.plan_statistics import (
    PlanStatistics,
    statistics_from_inspector,
    statistics_from_rtx_plan,
)

if TYPE_CHECKING:
    from contract.tensorrt_api import TensorRT

__all__ = ["engine_from_onnx", "statistics_of_engine"]

log = logging.getLogger(__name__)

_WRONG_INT8 = "Defaulting to INT8 instead"
# TensorRT reports a tactic that did not fit into memory as one that does not exist.
_MEMORY_SIGNS = ("out of memory", "OutOfMemory", "Could not find any implementation for node")
_LISTED = 5


@dataclass(slots=True)
class _Said:
    """What TensorRT logged, worst things kept."""

    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def engine_from_onnx(tensorrt: TensorRT, graph: bytes, request: BuildRequest) -> bytes:
    """Build a plan.

    Args:
        tensorrt: as `contract.tensorrt_api.find_tensorrt` found it.
        graph: the deploy graph's ONNX bytes.
        request: precision, batch and scratch memory.

    Returns:
        The serialized engine.

    Raises:
        EngineError: when the graph cannot be parsed or built, with what TensorRT said.
    """
    trt = tensorrt.module
    said = _Said()
    logger = _logger(trt, said)
    builder = trt.Builder(logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        faults = [_fault(parser.get_error(n)) for n in range(parser.num_errors)]
        raise EngineError(
            f"{tensorrt.label} cannot read this graph: " + "; ".join(faults or said.errors)
        )
    if any(_WRONG_INT8 in warning for warning in said.warnings):
        raise EngineError(
            f"{tensorrt.label} would read this graph's unsigned zero points as signed ones and "
            "clip half of the range; quantise symmetrically: gasedge calibrate"
        )
    plan = builder.build_serialized_network(network, configure(trt, builder, network, request))
    if plan is None:
        raise _build_error(tensorrt, said, request)
    return bytes(plan)


def statistics_of_engine(tensorrt: TensorRT, engine: bytes) -> PlanStatistics:
    """Count an engine's convolutions by precision; RTX needs no GPU for it.

    Raises:
        EngineError: when the engine cannot be looked into.
    """
    if tensorrt.is_rtx:
        return statistics_from_rtx_plan(engine)
    trt = tensorrt.module
    said = _Said()
    runtime = trt.Runtime(_logger(trt, said))
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineError(f"{tensorrt.label} cannot load what it built: {'; '.join(said.errors)}")
    inspector = loaded.create_engine_inspector()
    report = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return statistics_from_inspector(report)


def _logger(trt: Any, said: _Said) -> Any:
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.WARNING,
        trt.ILogger.INFO: logging.DEBUG,
    }

    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity)
            if level is None:
                return  # verbose: thousands of lines
            if level == logging.ERROR:
                said.errors.append(message)
            elif level == logging.WARNING:
                if message in said.warnings:
                    return  # the same for every convolution
                said.warnings.append(message)
            log.log(min(level, logging.WARNING), "TensorRT: %s", message)

    return Listener()


def _fault(error: Any) -> str:
    """One parser error; generations before 10 know the node's number only."""
    name = error.node_name() if hasattr(error, "node_name") else f"number {error.node()}"
    kind = error.node_operator() if hasattr(error, "node_operator") else ""
    return f"node {name} {kind}".rstrip() + f": {error.desc()}"


def _build_error(tensorrt: TensorRT, said: _Said, request: BuildRequest) -> EngineError:
    errors = "; ".join(said.errors[-_LISTED:]) or "it gave no reason"
    signs = [sign for sign in _MEMORY_SIGNS if sign in errors]
    if signs:
        return EngineError(
            f"{tensorrt.label} ran out of memory while building ({signs[0]!r}; "
            f"{available_memory_mib()} MiB are free now, workspace {request.workspace_mib} MiB): "
            "end other programs, add swap, or try another --workspace-mib. It said: " + errors
        )
    return EngineError(f"{tensorrt.label} could not build this graph: {errors}")
