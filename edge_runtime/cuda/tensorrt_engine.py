"""A TensorRT engine on the GPU: checked before TensorRT sees it, then run on the context's stream.

TensorRT 8.5 is the oldest that is served: it brought tensors by name (`set_tensor_address`) and
`execute_async_v3`, which 10 and 11 have alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_bytes
from contract.errors import EngineError, EngineMismatchError, IntegrityError
from contract.fingerprint import Fingerprint, read_fingerprint
from contract.machine import this_machine
from contract.tensorrt_api import TensorRT, find_tensorrt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import tensorrt

    from contract.geometry import InputGeometry
    from edge_runtime.cuda.driver import DeviceMemory, GpuContext

__all__ = ["TensorRTEngine", "checked_engine"]

_log = logging.getLogger(__name__)

_FRAMES, _MASK, _SCORE = "frames", "mask", "score"


def checked_engine(
    path: Path, expected: Mapping[str, str | None]
) -> tuple[bytes, Fingerprint, TensorRT]:
    """Read an engine file, and refuse it unless its fingerprint is of these bytes and this machine.

    Args:
        path: the engine; its fingerprint stands beside it.
        expected: fields of the fingerprint that the bundle decides, such as graph_sha256.

    Raises:
        IntegrityError: when the bytes are not those that were built here.
        EngineMismatchError: when it was built for something else, naming each field.
    """
    fingerprint = read_fingerprint(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{path}: cannot be read ({error.strerror}); build anew") from error
    if sha256_of_bytes(data) != fingerprint.engine_sha256:
        raise IntegrityError(
            f"{path}: is not the engine that its fingerprint was written for; an engine is "
            "executable code and this one is not loaded: run gasedge build-engine on this machine"
        )
    tensorrt = find_tensorrt(rtx=fingerprint.tensorrt.startswith("tensorrt_rtx"))
    machine = this_machine()
    here = {
        "tensorrt": tensorrt.label,
        "gpu_name": machine.gpu.name if machine.gpu else None,
        "compute_capability": machine.gpu.compute_capability if machine.gpu else None,
        "driver": machine.driver,
        "l4t": machine.l4t,
    }
    if differences := fingerprint.differences(here | dict(expected)):
        raise EngineMismatchError(
            f"{path}: {'; '.join(differences)}; run gasedge build-engine on this machine"
        )
    return data, fingerprint, tensorrt


class TensorRTEngine:
    """A deserialised engine and its one execution context, for a fixed batch.

    Args:
        gpu: the context it runs on.
        data: the engine's bytes, checked.
        found: the TensorRT that built them.
        geometry: of the frames.
        batch: frames of every run.
        weights: the graph to take the weights from, for an engine that was built without them.

    Raises:
        EngineError: when TensorRT refuses the engine or it is no engine of a deploy graph.
    """

    def __init__(
        self,
        gpu: GpuContext,
        data: bytes,
        found: TensorRT,
        geometry: InputGeometry,
        batch: int,
        *,
        weights: Callable[[], bytes] | None = None,
    ) -> None:
        self._gpu = gpu
        self._trt = found.module
        self._logger = _logger_of(found.module)
        self._weights = weights
        self._shape = (batch, geometry.height, geometry.width)
        self._runtime: tensorrt.Runtime | None = None
        self._engine: tensorrt.ICudaEngine | None = None
        self._context: tensorrt.IExecutionContext | None = None
        with gpu.current("loading an engine"):
            try:
                self._load(data)
            except BaseException:
                self.close()
                raise

    def bind(self, frames: DeviceMemory, mask: DeviceMemory, score: DeviceMemory) -> None:
        """Say where every run reads and writes."""
        for name, memory in ((_FRAMES, frames), (_MASK, mask), (_SCORE, score)):
            if not self._loaded().set_tensor_address(name, memory.address):
                raise EngineError(f"TensorRT does not take an address for {name}{self._said()}")

    def enqueue(self) -> None:
        """Put one run on the stream."""
        with self._gpu.current("running the engine"):
            if not self._loaded().execute_async_v3(self._gpu.stream_handle):
                raise self._gpu.error("running the engine", f"TensorRT refused{self._said()}")

    def profile(self) -> dict[str, list[float]]:
        """From now on keep each layer's milliseconds, a value a run; runs wait for their end."""
        profiler = _profiler_of(self._trt)
        self._loaded().profiler = profiler
        times: dict[str, list[float]] = profiler.times_ms
        return times

    def close(self) -> None:
        """Free what TensorRT holds, in the order that it asks for; a second call does nothing."""
        if self._runtime is not None:
            with self._gpu.current("freeing an engine"):
                self._context = None
                self._engine = None
                self._runtime = None

    def _loaded(self) -> tensorrt.IExecutionContext:
        if self._context is None:
            raise EngineError("this engine was closed already")
        return self._context

    def _load(self, data: bytes) -> None:
        runtime = self._runtime = self._trt.Runtime(self._logger)
        if hasattr(runtime, "engine_host_code_allowed"):
            runtime.engine_host_code_allowed = False
        engine = self._engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"TensorRT cannot load the engine{self._said()}; build it anew")
        if self._weights is not None:
            self._refit(engine, self._weights())
        self._check_tensors(engine)
        context = self._context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run the engine here{self._said()}")
        shape = (*self._shape, 3)
        if not context.set_input_shape(_FRAMES, shape):
            raise EngineError(f"the engine does not take frames of shape {shape}{self._said()}")

    def _refit(self, engine: tensorrt.ICudaEngine, graph: bytes) -> None:
        """Give an engine that was built without weights those of its graph."""
        refitter = self._trt.Refitter(engine, self._logger)
        parser = self._trt.OnnxParserRefitter(refitter, self._logger)
        if not parser.refit_from_bytes(graph) or not refitter.refit_cuda_engine():
            raise EngineError(
                f"TensorRT cannot put the graph's weights into this engine{self._said()}; build it "
                "anew, without --strip"
            )

    def _check_tensors(self, engine: tensorrt.ICudaEngine) -> None:
        """The deploy graph's tensors, nothing else, uint8, of a shape that the engine takes."""
        found = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        if found != {_FRAMES, _MASK, _SCORE}:
            raise EngineError(
                f"the engine has tensors {', '.join(sorted(found))}, a deploy graph has frames, "
                "mask, score; build it from a bundle"
            )
        batch, height, width = self._shape
        frames = tuple(engine.get_tensor_shape(_FRAMES))
        low = high = frames
        if min(frames) < 0:
            low, _, high = (tuple(s) for s in engine.get_tensor_profile_shape(_FRAMES, 0))
        sides = zip(low[1:], (height, width, 3), high[1:], strict=True)
        fits = len(frames) == 4 and all(a <= side <= b for a, side, b in sides)
        for name in (_FRAMES, _MASK, _SCORE):
            kind = engine.get_tensor_dtype(name)
            if not fits or kind != self._trt.DataType.UINT8:
                raise EngineError(
                    f"the engine's {name} is {kind} {tuple(engine.get_tensor_shape(name))}, the "
                    f"bundle's input of {width}x{height} asks for uint8 (N, {height}, {width}, 3)"
                )
        for name in (_MASK, _SCORE):
            shape = tuple(engine.get_tensor_shape(name))[1:]
            if any(side not in (-1, own) for side, own in zip(shape, self._shape[1:], strict=True)):
                raise EngineError(
                    f"the engine's {name} is {shape}, the bundle's input of {width}x{height} asks "
                    f"for {height} x {width}"
                )
        if not low[0] <= batch <= high[0]:
            raise EngineError(
                f"the engine takes {low[0]} to {high[0]} frames at once, not {batch}; build it for "
                "that"
            )

    def _said(self) -> str:
        errors = self._logger.errors
        return f" ({errors[-1]})" if errors else ""


def _logger_of(trt: Any) -> Any:
    """A TensorRT logger that writes to our log and remembers errors."""

    class Logger(trt.ILogger):  # type: ignore[misc] # TensorRT has no types
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors = [*self.errors[-7:], message]
                _log.error("TensorRT: %s", message)
            elif severity == trt.ILogger.Severity.WARNING:
                _log.warning("TensorRT: %s", message)
            else:
                _log.debug("TensorRT: %s", message)

    return Logger()


def _profiler_of(trt: Any) -> Any:
    """A TensorRT profiler that keeps every layer's times."""

    class Profiler(trt.IProfiler):  # type: ignore[misc] # TensorRT has no types
        def __init__(self) -> None:
            super().__init__()
            self.times_ms: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times_ms.setdefault(layer_name, []).append(float(ms))

    return Profiler()
