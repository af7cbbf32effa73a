"""The network on a CPU through OpenVINO: what runs wherever there is no NVIDIA GPU.

The inference precision is always asked for by name (left alone, OpenVINO picks bf16 on the CPUs
that have it), and quantised activations are rewritten before compilation: see
`edge_runtime.backends.openvino_int8`.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.closing import Closing
from contract.errors import EngineError
from contract.packages import need
from contract.precision import Precision
from contract.segmenter import Segmentation, check_frames, one_line
from edge_runtime.backends.openvino_head import rewrite_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry

__all__ = ["OpenVINORun", "OpenVINOSegmenter"]


class OpenVINOSegmenter(Closing):
    """Runs a deploy graph on the CPU, compiled once for each batch size it meets.

    Args:
        graph: gives the bytes of the ONNX deploy graph, checked against the manifest; asked once
            for each batch size.
        geometry: the network's input.
        precision: what the graph was made for; the rest of an INT8 or FP16 graph runs in f32.
        threads: CPU threads, None for all that the process may use.
        streams: runs computed at a time, each by its share of the threads: more give more frames a
            second, each of which takes longer.

    Raises:
        MissingPackageError: when OpenVINO is not installed.
        EngineError: when it cannot read or compile the graph.
    """

    def __init__(
        self,
        graph: Callable[[], bytes],
        *,
        geometry: InputGeometry,
        precision: Precision,
        threads: int | None = None,
        streams: int = 1,
    ) -> None:
        openvino = need("openvino", extra="cpu")
        self._graph, self._precision, self._closed = graph, precision, False
        self._geometry = geometry
        self._core = openvino.Core()
        self._options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": streams,
        }
        self.depth = streams if streams == 1 else streams + 1
        """Runs that `start` takes at a time: one more waits, so that no stream ever does."""
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        cpu = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        version = openvino.__version__.split("-")[0]
        self._name = f"OpenVINO {version} {precision} on {cpu}"
        self._compiled: dict[int, list[Any]] = {}  # batch -> requests that nobody uses now
        # They wait for OpenVINO, which calls nothing of ours: a stream that needed the interpreter
        # to call it would not begin its next run before it had it, and closing would wait for ever
        # for a stream that waits for the interpreter.
        self._waiting = ThreadPoolExecutor(self.depth, thread_name_prefix="gasedge-network")
        self._compile(1)

    @property
    def name(self) -> str:
        """Runtime, version, precision and CPU."""
        return self._name

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        return self._geometry

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames; a new N compiles the graph once more.

        Raises:
            EngineError: when the frames do not fit or OpenVINO fails.
        """
        found = self._begun(frames).result()
        return Segmentation(
            np.concatenate([each.mask for each in found]),
            np.concatenate([each.score for each in found]),
        )

    def start(self, frames: NDArray[np.uint8], done: Callable[[], None]) -> OpenVINORun:
        """Begin to segment (N, H, W, 3) uint8 BGR frames; no more than `depth` runs at a time.

        Args:
            frames: they must not change before the run is done.
            done: called by a thread of this backend when it is.

        Raises:
            EngineError: when the frames do not fit, or too many runs are under way.
        """
        run = self._begun(frames)
        self._waiting.submit(run.tell, done)
        return run

    def close(self) -> None:
        """Free the compiled graphs, once what is under way is done; a second call does nothing."""
        self._closed = True
        self._waiting.shutdown()
        self._compiled.clear()

    def _begun(self, frames: NDArray[np.uint8]) -> OpenVINORun:
        check_frames(frames, self._geometry)
        if self._closed:
            raise EngineError("this OpenVINO backend was closed")
        idle = self._compiled.get(len(frames)) or self._compile(len(frames))
        return OpenVINORun(idle, frames)

    def _read(self) -> Any:
        """The model, anew for each batch: kept, it would hold 60 MB that are hardly ever used."""
        openvino = need("openvino", extra="cpu")
        try:
            model = self._core.read_model(io.BytesIO(self._graph()))
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot read the {self._precision} graph: {one_line(error)}"
            ) from error
        if self._precision is Precision.INT8:
            from edge_runtime.backends.openvino_int8 import rewrite_activations

            if not rewrite_activations(model):
                raise EngineError(
                    f"OpenVINO {openvino.__version__} reads the int8 graph in a form that gasedge "
                    "does not know, so its numbers cannot be trusted: take backend onnxruntime"
                )
        rewrite_head(model)
        return model

    def _compile(self, batch: int) -> list[Any]:
        size, model = self._geometry, self._read()
        try:
            model.reshape([batch, size.height, size.width, 3])
            compiled = self._core.compile_model(model, "CPU", self._options)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot compile the graph for {batch} frames of "
                f"{size.width}x{size.height}: {one_line(error)}"
            ) from error
        requests = [compiled.create_infer_request() for _ in range(self.depth)]
        del model
        _give_back_memory()
        return self._compiled.setdefault(batch, requests)


def _give_back_memory() -> None:
    """Hand what compiling took back to the system, where the C library can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class OpenVINORun:
    """Frames on their way through the network: a `contract.segmenter.Run`."""

    def __init__(self, idle: list[Any], frames: NDArray[np.uint8]) -> None:
        if not idle:
            raise EngineError("all streams of this OpenVINO backend are taken")
        self._idle, self._frames = idle, frames
        self._request = idle.pop()
        try:
            self._request.set_input_tensor(
                need("openvino", extra="cpu").Tensor(frames, shared_memory=True)
            )
            self._request.start_async()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a frame: {one_line(error)}") from error

    def tell(self, done: Callable[[], None]) -> None:
        """Wait for the end, however it comes, and call `done`."""
        with contextlib.suppress(RuntimeError):
            self._request.wait()
        done()

    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        return bool(self._request.wait_for(0))

    def result(self) -> list[Segmentation]:
        """Wait for the answers, one a frame; to be asked once.

        Raises:
            EngineError: when OpenVINO failed.
        """
        try:
            self._request.wait()
            outputs = {name: self._request.get_tensor(name).data for name in ("mask", "score")}
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a frame: {one_line(error)}") from error
        # copied: the next run writes there
        mask, score = outputs["mask"].copy(), outputs["score"].copy()
        self._idle.append(self._request)
        return [Segmentation(mask[i : i + 1], score[i : i + 1]) for i in range(len(mask))]
