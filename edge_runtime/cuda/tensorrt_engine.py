"""A TensorRT engine on the GPU: checked before TensorRT sees it, then run on the context's stream.

TensorRT 8.5 is the oldest that is served: it brought tensors by name (`set_tensor_address`) and
`execute_async_v3`, which 10 and 11 have alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_bytes
from contract.errors import EngineError, IntegrityError
from contract.fingerprint import Fingerprint, read_fingerprint
from contract.machine import this_machine
from contract.tensorrt_api import TensorRT, find_tensorrt

if TYPE_CHECKING:
    from pathlib import Path

    from contract.geometry import InputGeometry
    from edge_runtime.cuda.driver import DeviceMemory, GpuContext

__all__ = ["TensorRTEngine", "checked_engine"]

_log = logging.getLogger(__name__)

_FRAMES, _MASK, _SCORE = "frames", "mask", "score"


def checked_engine(path: Path, graph_sha256: str | None) -> tuple[bytes, Fingerprint, TensorRT]:
    """Read an engine file, and refuse it unless its fingerprint is of these bytes and this machine.

    Args:
        path: the engine; its fingerprint stands beside it.
        graph_sha256: the graph that it must have been built from, None where none is asked for.

    Raises:
        IntegrityError: when the bytes are not those that were built here.
        EngineError: when it was built for something else than this machine and graph.
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
    if graph_sha256 is not None:
        here["graph_sha256"] = graph_sha256
    if differences := fingerprint.differences(here):
        raise EngineError(
            f"{path}: {'; '.join(differences)}; run gasedge build-engine on this machine"
        )
    return data, fingerprint, tensorrt


class TensorRTEngine:
    """A deserialised engine and its one execution context, for a fixed batch.

    Args:
        gpu: the context it runs on.
        data: the engine's bytes, checked.
        tensorrt: the TensorRT that built them.
        geometry: of the frames.
        batch: frames of every run.

    Raises:
        EngineError: when TensorRT refuses the engine or it is no engine of a deploy graph.
    """

    def __init__(
        self, gpu: GpuContext, data: bytes, tensorrt: TensorRT, geometry: InputGeometry, batch: int
    ) -> None:
        self._gpu = gpu
        self._trt = tensorrt.module
        self._logger = _logger_of(tensorrt.module)
        self._shape = (batch, geometry.height, geometry.width)
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        with gpu.current("loading an engine"):
            try:
                self._load(data)
            except BaseException:
                self.close()
                raise

    def bind(self, frames: DeviceMemory, mask: DeviceMemory, score: DeviceMemory) -> None:
        """Say where every run reads and writes."""
        for name, memory in ((_FRAMES, frames), (_MASK, mask), (_SCORE, score)):
            if not self._context.set_tensor_address(name, memory.address):
                raise EngineError(f"TensorRT does not take an address for {name}{self._said()}")

    def enqueue(self) -> None:
        """Put one run on the stream."""
        with self._gpu.current("running the engine"):
            if not self._context.execute_async_v3(self._gpu.stream_handle):
                raise self._gpu.error("running the engine", f"TensorRT refused{self._said()}")

    def close(self) -> None:
        """Free what TensorRT holds, in the order that it asks for; a second call does nothing."""
        if self._runtime is not None:
            with self._gpu.current("freeing an engine"):
                self._context = None
                self._engine = None
                self._runtime = None

    def _load(self, data: bytes) -> None:
        self._runtime = self._trt.Runtime(self._logger)
        if hasattr(self._runtime, "engine_host_code_allowed"):
            self._runtime.engine_host_code_allowed = False
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load the engine{self._said()}; build it anew")
        self._check_tensors()
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"TensorRT cannot run the engine here{self._said()}")
        shape = (*self._shape, 3)
        if not self._context.set_input_shape(_FRAMES, shape):
            raise EngineError(f"the engine does not take frames of shape {shape}{self._said()}")

    def _check_tensors(self) -> None:
        """The deploy graph's tensors, nothing else, uint8, of the geometry's size."""
        engine, trt = self._engine, self._trt
        found = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        if found != {_FRAMES, _MASK, _SCORE}:
            raise EngineError(
                f"the engine has tensors {', '.join(sorted(found))}, a deploy graph has frames, "
                "mask, score; build it from a bundle"
            )
        batch, height, width = self._shape
        for name, expected in ((_FRAMES, (height, width, 3)), (_MASK, self._shape[1:]),
                               (_SCORE, self._shape[1:])):  # fmt: skip
            shape = tuple(engine.get_tensor_shape(name))
            if shape[1:] != expected or engine.get_tensor_dtype(name) != trt.DataType.UINT8:
                raise EngineError(
                    f"the engine's {name} is {engine.get_tensor_dtype(name)} {shape}, the bundle's "
                    f"input of {width}x{height} asks for uint8 (N, {', '.join(map(str, expected))})"
                )
        low = high = engine.get_tensor_shape(_FRAMES)[0]
        if low < 0:
            low, _, high = (shape[0] for shape in engine.get_tensor_profile_shape(_FRAMES, 0))
        if not low <= batch <= high:
            raise EngineError(
                f"the engine takes {low} to {high} frames at once, not {batch}; build it for that"
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
