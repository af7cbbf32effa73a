"""Deploy graph -> TensorRT plan, with what TensorRT said turned into one clear error."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contract.errors import EngineError
from export.build_progress import progress_monitor
from export.builder_settings import BuildRequest, configure, network_flags
from export.builder_troubles import build_error, parse_error
from export.built_as_asked import AskedConvolution, asked_from_network
from export.implicit_int8 import take_calibrator
from export.inspector_report import reading_from_inspector
from export.rtx_plan import reading_from_rtx_plan

if TYPE_CHECKING:
    from pathlib import Path

    import tensorrt

    from contract.tensorrt_api import TensorRT
    from export.engine_layers import EngineReading

__all__ = ["BuiltPlan", "engine_from_onnx", "reading_of_engine"]

log = logging.getLogger(__name__)

_WRONG_INT8 = "Defaulting to INT8 instead"


@dataclass(slots=True)
class _Said:
    """What TensorRT logged, worst things kept."""

    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """A serialized engine and what its graph asked of it."""

    engine: bytes
    asked: tuple[AskedConvolution, ...]


def engine_from_onnx(
    found: TensorRT,
    graph: bytes,
    request: BuildRequest,
    *,
    timing_cache: Path | None = None,
    progress: int | None = None,
    calibrator: Any = None,
) -> BuiltPlan:
    """Build a plan.

    Args:
        found: as `contract.tensorrt_api.find_tensorrt` found it.
        graph: the deploy graph's ONNX bytes.
        request: precision, shapes and limits.
        timing_cache: file that keeps this device's kernel timings between builds; None keeps none.
        progress: file descriptor that is told how far the builder is.
        calibrator: of `export.implicit_int8`, where the request's ranges are not the graph's.

    Raises:
        EngineError: when the graph cannot be parsed or built, with what TensorRT said.
    """
    trt = found.module
    said = _Said()
    logger = _logger(trt, said)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # the bindings' word for a factory that gave nothing
        raise build_error(found, said.errors or [str(error)], request) from error
    network = builder.create_network(network_flags(trt, implicit=request.implicit))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        faults = [_fault(parser.get_error(n)) for n in range(parser.num_errors)]
        raise parse_error(found, faults, said.errors)
    if any(_WRONG_INT8 in warning for warning in said.warnings):
        raise EngineError(
            f"{found.label} would read this graph's unsigned zero points as signed ones and "
            "clip half of the range; quantise symmetrically: gasedge calibrate"
        )
    asked = tuple(asked_from_network(trt, network))
    config = configure(found, builder, network, request)
    if calibrator is not None:
        take_calibrator(found, builder, network, config, calibrator)
    monitor = None if progress is None else progress_monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    if timing_cache is not None:
        _take_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if calibrator is not None and calibrator.fault is not None:
        raise calibrator.fault
    if plan is None:
        raise build_error(found, said.errors, request)
    if timing_cache is not None:
        timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return BuiltPlan(bytes(plan), asked)


def reading_of_engine(found: TensorRT, engine: bytes) -> EngineReading:
    """Read an engine's layers; RTX needs no GPU for it.

    Raises:
        EngineError: when the engine cannot be looked into.
    """
    if found.is_rtx:
        return reading_from_rtx_plan(engine)
    trt = found.module
    said = _Said()
    runtime = trt.Runtime(_logger(trt, said))
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineError(f"{found.label} cannot load what it built: {'; '.join(said.errors)}")
    inspector = loaded.create_engine_inspector()
    report = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return reading_from_inspector(report, scratch_bytes=_scratch_bytes(loaded))


def _scratch_bytes(engine: tensorrt.ICudaEngine) -> int | None:
    for name in ("device_memory_size_v2", "device_memory_size"):  # from 10.1, and before 11.0
        if hasattr(engine, name):
            return int(getattr(engine, name))
    return None


def _take_timing_cache(config: tensorrt.IBuilderConfig, file: Path) -> None:
    try:
        kept = file.read_bytes()
    except FileNotFoundError:
        kept = b""
    if kept and config.set_timing_cache(config.create_timing_cache(kept), False):  # noqa: FBT003
        log.info("kernel timings of earlier builds are taken from %s", file)
        return
    config.set_timing_cache(config.create_timing_cache(b""), False)  # noqa: FBT003 - its own API


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


def _fault(error: tensorrt.ParserError) -> str:
    """One parser error; generations before 10 know the node's number only."""
    name = error.node_name() if hasattr(error, "node_name") else f"number {error.node()}"
    kind = error.node_operator() if hasattr(error, "node_operator") else ""
    return f"node {name} {kind}".rstrip() + f": {error.desc()}"
