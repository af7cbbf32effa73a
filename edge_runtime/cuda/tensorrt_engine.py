"""A TensorRT engine on the GPU: checked before TensorRT sees it, then run on the context's stream.

TensorRT 8.5 is the oldest that is served: it brought tensors by name (`set_tensor_address`) and
`execute_async_v3`, which 10 and 11 have alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_bytes
from contract.errors import EngineError, EngineMismatchError, IntegrityError
from contract.fingerprint import Fingerprint, is_sealed_here, read_fingerprint
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
        EngineMismatchError: when it was built for something else, naming each field, or elsewhere.
        ConfigError: when this device's secret cannot be read.
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
    if not is_sealed_here(fingerprint):
        raise EngineMismatchError(
            f"{path}: was not built by this user on this device, and an engine is executable code: "
            "it is not loaded; run gasedge build-engine here"
        )
    return data, fingerprint, tensorrt


class TensorRTEngine:
    """A deserialised engine with an execution context for each number of frames that it takes.

    A CUDA graph is good only as long as the context that it was captured from is not changed, so no
    context ever changes its shape. They never run at once, so they share one scratch memory.

    Args:
        gpu: the context it runs on.
        data: the engine's bytes, checked.
        found: the TensorRT that built them.
        geometry: of the frames.
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
        *,
        weights: Callable[[], bytes] | None = None,
    ) -> None:
        self._gpu = gpu
        self._trt = found.module
        self._logger = _logger_of(found.module)
        self._weights = weights
        self._size = (geometry.height, geometry.width)
        self._runtime: tensorrt.Runtime | None = None
        self._engine: tensorrt.ICudaEngine | None = None
        self._contexts: list[tensorrt.IExecutionContext] = []  # for 1, 2 .. frames
        with gpu.current("loading an engine"):
            try:
                self._load(data)
            except BaseException:
                self.close()
                raise

    @property
    def batch(self) -> int:
        """Most frames of one run, as the engine was built."""
        return len(self._contexts)

    def bind(self, *, frames: int, mask: int, score: int) -> None:
        """Say at which addresses of the GPU every run reads and writes."""
        for name, address in ((_FRAMES, frames), (_MASK, mask), (_SCORE, score)):
            for context in self._contexts:
                if not context.set_tensor_address(name, address):
                    raise EngineError(f"TensorRT does not take an address for {name}{self._said()}")

    def enqueue(self, count: int) -> None:
        """Put one run of `count` frames on the stream."""
        with self._gpu.current("running the engine"):
            if not self._of(count).execute_async_v3(self._gpu.stream_handle):
                raise self._gpu.error("running the engine", f"TensorRT refused{self._said()}")

    def profile(self, count: int) -> dict[str, list[float]]:
        """Keep each layer's milliseconds of every run of `count` frames, which wait from now on."""
        profiler = _profiler_of(self._trt)
        self._of(count).profiler = profiler
        times: dict[str, list[float]] = profiler.times_ms
        return times

    def close(self) -> None:
        """Free what TensorRT holds, in the order that it asks for; a second call does nothing."""
        if self._runtime is not None:
            with self._gpu.current("freeing an engine"):
                self._contexts.clear()
                self._engine = None
                self._runtime = None

    def _of(self, count: int) -> tensorrt.IExecutionContext:
        if not self._contexts:
            raise EngineError("this engine was closed already")
        return self._contexts[count - 1]

    def _load(self, data: bytes) -> None:
        runtime = self._runtime = self._trt.Runtime(self._logger)
        if hasattr(runtime, "engine_host_code_allowed"):
            runtime.engine_host_code_allowed = False
        engine = self._engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"TensorRT cannot load the engine{self._said()}; build it anew")
        if self._weights is not None:
            self._refit(engine, self._weights())
        batch = self._checked_batch(engine)
        needed = _scratch_bytes(engine)
        scratch = self._gpu.allocate(needed) if needed else None
        for count in range(1, batch + 1):
            context = _context_of(self._trt, engine, scratch)
            if context is None:
                raise EngineError(f"TensorRT cannot run the engine here{self._said()}")
            self._contexts.append(context)
            shape = (count, *self._size, 3)
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

    def _checked_batch(self, engine: tensorrt.ICudaEngine) -> int:
        """Most frames that the engine takes; it must have the deploy graph's tensors, uint8."""
        found = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        if found != {_FRAMES, _MASK, _SCORE}:
            raise EngineError(
                f"the engine has tensors {', '.join(sorted(found))}, a deploy graph has frames, "
                "mask, score; build it from a bundle"
            )
        height, width = self._size
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
            if any(side not in (-1, own) for side, own in zip(shape, self._size, strict=True)):
                raise EngineError(
                    f"the engine's {name} is {shape}, the bundle's input of {width}x{height} asks "
                    f"for {height} x {width}"
                )
        if low[0] != 1:
            raise EngineError(
                f"the engine takes {low[0]} to {high[0]} frames at once, and a camera may be alone;"
                " build it with gasedge build-engine"
            )
        return int(high[0])

    def _said(self) -> str:
        errors = self._logger.errors
        return f" ({errors[-1]})" if errors else ""


def _scratch_bytes(engine: tensorrt.ICudaEngine) -> int:
    """Bytes that any run of the engine works in; 10.1 counts them anew, 11 knows no other count."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)


def _context_of(
    trt: Any, engine: tensorrt.ICudaEngine, scratch: DeviceMemory | None
) -> tensorrt.IExecutionContext | None:
    """An execution context that works in `scratch`; each generation has its own words for it."""
    if hasattr(trt, "ExecutionContextAllocationStrategy"):
        make: Any = engine.create_execution_context  # of 8 it takes no strategy
        context = make(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    else:
        context = engine.create_execution_context_without_device_memory()
    if context is not None and scratch is not None:
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(scratch.address, scratch.nbytes)
        else:
            context.device_memory = scratch.address
    return context


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
