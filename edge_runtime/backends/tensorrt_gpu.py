"""Run an engine through TensorRT on an NVIDIA GPU: one CUDA graph from camera picture to mask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from contract.closing import Closing
from contract.errors import EngineError, InputError
from contract.segmenter import Segmentation
from edge_runtime.cuda.built_kernels import built_kernels
from edge_runtime.cuda.driver import GpuContext
from edge_runtime.cuda.frame_path import LARGEST_SIDE, FramePath
from edge_runtime.cuda.tensorrt_engine import TensorRTEngine, checked_engine
from edge_runtime.cuda.transfer_choice import chosen_transfer
from edge_runtime.pixels import NativePicture, pixels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry
    from edge_runtime.cuda.exchange import Transfer
    from edge_runtime.cuda.frame_path import MaskSummary
    from edge_runtime.cuda.graph import GraphCounts
    from edge_runtime.pixels import CameraPicture

__all__ = ["TensorRTSegmenter"]

_log = logging.getLogger(__name__)


class TensorRTSegmenter(Closing):
    """A `contract.segmenter.Segmenter` on TensorRT; threads may use it one at a time.

    Args:
        engine: the engine file, built on this machine; its fingerprint stands beside it.
        geometry: the bundle's input.
        expected: fields of the fingerprint that the bundle decides, such as graph_sha256.
        graph: gives the checked graph, which an engine built without weights cannot do without.
        transfer: how pictures cross to the GPU; None takes what was measured on this device, else
            what suits its kind.

    Raises:
        EngineMismatchError: when the engine is not for this machine or graph, naming the fields.
        EngineError: when there is no GPU, or the engine is none of a deploy graph.
        IntegrityError: when the engine is not the one that was built here.
        DeviceError: when the GPU needs a new process.
        MissingPackageError: without pycuda or TensorRT.
    """

    def __init__(
        self,
        engine: Path,
        *,
        geometry: InputGeometry,
        expected: Mapping[str, str | None],
        graph: Callable[[], bytes] | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        self._geometry = geometry
        self._gpu = GpuContext()
        self._engine: TensorRTEngine | None = None
        try:
            data, fingerprint, tensorrt = checked_engine(engine, expected)
            stripped = bool(fingerprint.builder.get("stripped"))
            weights = graph if stripped else None
            self._engine = TensorRTEngine(self._gpu, data, tensorrt, geometry, weights=weights)
            self._batch = self._engine.batch
            self._name = f"{tensorrt.label} {fingerprint.precision} on {self._gpu.name}"
            found = chosen_transfer(engine.parent, self._gpu)
            self._transfer, self._chosen_by = (transfer, "asked") if transfer else found
            built = built_kernels(engine, fingerprint)
            self._kernels = "built here" if built else "shipped"
            self._path = FramePath(self._gpu, geometry, self._batch, self._transfer, built)
            self._engine.bind(
                frames=self._path.frames.address,
                mask=self._path.mask.address,
                score=self._path.score.address,
            )
            _log.info("%s: pictures go %s (%s)", self._name, self._transfer, self._chosen_by)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """TensorRT, precision and GPU."""
        return self._name

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        return self._geometry

    @property
    def batch(self) -> int:
        """Most pictures that `segment_pictures` takes: what the engine was built for."""
        return self._batch

    @property
    def graph_counts(self) -> GraphCounts:
        """How often work ran as a CUDA graph and how often not."""
        return self._path.graphs.counts

    @property
    def last_summaries(self) -> tuple[MaskSummary, ...]:
        """What the GPU counted in each mask of the last run."""
        return self._path.last_summaries

    def figures(self) -> dict[str, int | str]:
        """What a log should hold of how frames ran here: nothing falls back in silence."""
        counts = self.graph_counts
        return {
            "batch": self._batch,
            "transfer": self._transfer.value,
            "transfer_by": self._chosen_by,
            "kernels": self._kernels,
            "graph_launched": counts.launched,
            "graph_warm_ups": counts.warm_ups,
            "graph_eager": counts.eager,
            "graph_failed_captures": counts.failed_captures,
        }

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames, at most `batch` of them in one run.

        Raises:
            InputError: for frames of another type or shape.
            EngineError: when the GPU gave no answer to these frames.
            DeviceError: when the GPU needs a new process.
        """
        expected = (self._geometry.height, self._geometry.width, 3)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != expected:
            raise InputError(
                f"frames are {frames.dtype} {frames.shape}, this network takes uint8 (N, "
                f"{', '.join(map(str, expected))})"
            )
        engine = self._opened()
        parts = [
            self._path.run_frames(frames[start : start + self._batch], engine.enqueue)
            for start in range(0, len(frames), self._batch)
        ]
        if len(parts) == 1:
            return parts[0]
        empty = np.empty((0, *expected[:2]), np.uint8)
        return Segmentation(
            np.concatenate([part.mask for part in parts] or [empty]),
            np.concatenate([part.score for part in parts] or [empty]),
        )

    def segment_picture(self, picture: CameraPicture) -> Segmentation:
        """Fit a camera picture on the GPU and segment it; N is 1.

        Raises:
            InputError: for a picture of another type or shape.
            EngineError: when the GPU gave no answer to this picture.
            DeviceError: when the GPU needs a new process.
        """
        return self.segment_pictures([picture])[0]

    def segment_pictures(self, pictures: Sequence[CameraPicture]) -> list[Segmentation]:
        """Fit 1 to `batch` pictures on the GPU and segment them in one run.

        Sizes and layouts may differ: each is fitted by itself. N of every answer is 1, and each has
        its cells of gas.

        Raises:
            InputError: for a picture of another type or shape, or too many of them.
            EngineError: when the GPU gave no answer to these pictures.
            DeviceError: when the GPU needs a new process.
        """
        if not 1 <= len(pictures) <= self._batch:
            raise InputError(
                f"{len(pictures)} pictures for one run, this engine takes 1 to {self._batch}: "
                "build it with --max-batch for more"
            )
        for picture in pictures:
            shape = picture.shape
            sane = isinstance(picture, NativePicture) or (
                picture.dtype == np.uint8 and picture.ndim == 3 and shape[2] == 3
            )
            if not sane or not 0 < min(shape) <= max(shape) <= LARGEST_SIDE:
                raise InputError(
                    f"picture is {pixels_of(picture).dtype} {shape}, expected uint8 (h, w, 3) of "
                    f"at most {LARGEST_SIDE} pixels a side"
                )
        found = self._path.run_pictures(pictures, self._opened().enqueue)
        return [
            Segmentation(found.mask[i : i + 1], found.score[i : i + 1], self._path.last_cells[i])
            for i in range(len(pictures))
        ]

    def layer_times_ms(self, frames: NDArray[np.uint8], *, runs: int) -> dict[str, float]:
        """Median milliseconds of each of the engine's layers, by TensorRT's own profiler.

        Timing changes how the engine runs: close the segmenter afterwards.

        Args:
            frames: 1 to `batch` (N, H, W, 3) uint8 BGR frames.
            runs: how often to run it; a tenth more run before to warm up.
        """
        engine, count, warm_up = self._opened(), len(frames), runs // 10
        with self._gpu.current("timing layers"):
            self._path.frames.host[:count] = frames
            self._path.frames.to_gpu(count)
            times = engine.profile(count)
            for _ in range(warm_up + runs):
                engine.enqueue(count)
                self._gpu.wait()
        return {name: float(np.median(each[warm_up:])) for name, each in times.items()}

    def close(self) -> None:
        """Free everything on the GPU; a second call does nothing."""
        engine, self._engine = self._engine, None
        if engine is not None:
            if hasattr(self, "_path"):
                self._path.graphs.forget()
            engine.close()
        self._gpu.close()

    def _opened(self) -> TensorRTEngine:
        if self._engine is None:
            raise EngineError("this segmenter was closed already")
        return self._engine
