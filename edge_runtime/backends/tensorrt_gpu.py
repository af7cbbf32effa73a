"""Run an engine through TensorRT on an NVIDIA GPU: one CUDA graph from camera picture to mask.

The graph copies the picture or frames up, fits the picture, runs the engine, counts the mask's
classes and copies all down. Every run carries a ticket number through the GPU and back, and the
outputs are overwritten with a value that no network gives before the engine runs: an answer that is
not this frame's is an error, never a mask.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import EngineError, InputError
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.segmenter import Segmentation
from edge_runtime.cuda.driver import GpuContext
from edge_runtime.cuda.graph import GraphCounts, GraphRunner
from edge_runtime.cuda.tensorrt_engine import TensorRTEngine, checked_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.geometry import FrameFit, InputGeometry
    from edge_runtime.cuda.driver import DeviceMemory

__all__ = ["MaskSummary", "TensorRTSegmenter"]

_UNWRITTEN = 0xFF  # no class index
_FOREIGN, _GAS_SCORE, _TICKET, _WORDS = 3, 4, 5, 6  # words of a summary, as in mask_summary.cu
_LARGEST_SIDE = 16384  # beyond it the fit kernel's whole numbers overflow
_FIT_BLOCK = (32, 8)
_SUMMARY_BLOCK, _PIXELS_PER_THREAD = 128, 64


@dataclass(frozen=True, slots=True)
class MaskSummary:
    """What the GPU counted in one mask, inside the picture's part of it; everything in pixels."""

    background: int
    gas_smoke: int
    machine: int
    gas_score_sum: int  # of the gas pixels' scores, each 0..255


class TensorRTSegmenter:
    """A `contract.segmenter.Segmenter` on TensorRT; threads may use it one at a time.

    Args:
        engine: the engine file, built on this machine; its fingerprint stands beside it.
        geometry: the bundle's input.
        expected: fields of the fingerprint that the bundle decides, such as graph_sha256.
        graph: gives the checked graph, which an engine built without weights cannot do without.
        max_batch: frames of every run; fewer are padded with black.

    Raises:
        EngineMismatchError: when the engine is not for this machine or graph, naming the fields.
        EngineError: when there is no GPU, or the engine is not for this batch.
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
        max_batch: int = 1,
    ) -> None:
        self._geometry = geometry
        self._batch = max_batch
        self._tickets = itertools.count(1)
        self.last_summaries: tuple[MaskSummary, ...] = ()
        self._gpu = GpuContext()
        self._engine: TensorRTEngine | None = None
        try:
            data, fingerprint, tensorrt = checked_engine(engine, expected)
            stripped = bool(fingerprint.builder.get("stripped"))
            self._graphs = GraphRunner(self._gpu)
            self._engine = TensorRTEngine(
                self._gpu,
                data,
                tensorrt,
                geometry,
                max_batch,
                weights=graph if stripped else None,
            )
            self._name = f"{tensorrt.label} {fingerprint.precision} on {self._gpu.name}"
            self._take_buffers()
        except BaseException:
            self.close()
            raise

    def _take_buffers(self) -> None:
        gpu, shape = self._gpu, (self._batch, self._geometry.height, self._geometry.width)
        self._fit = gpu.kernel("fit_picture", "PPiiiiiiiii")
        self._summarise = gpu.kernel("mask_summary", "PPPPiiiiii")
        self._host_frames = gpu.pin((*shape, 3))
        self._host_mask, self._host_score = gpu.pin(shape), gpu.pin(shape)
        self._host_summary = gpu.pin((self._batch, _WORDS), np.uint32)
        self._host_ticket = gpu.pin((1,), np.uint32)
        self._host_frames[:] = 0
        self._frames = gpu.allocate(self._host_frames.nbytes)
        self._mask = gpu.allocate(self._host_mask.nbytes)
        self._score = gpu.allocate(self._host_score.nbytes)
        self._summary = gpu.allocate(self._host_summary.nbytes)
        self._ticket = gpu.allocate(self._host_ticket.nbytes)
        self._host_picture: NDArray[np.uint8] | None = None
        self._picture: DeviceMemory | None = None
        if self._engine is not None:
            self._engine.bind(self._frames, self._mask, self._score)

    @property
    def name(self) -> str:
        """TensorRT, precision and GPU."""
        return self._name

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        return self._geometry

    @property
    def graph_counts(self) -> GraphCounts:
        """How often frames ran as a CUDA graph and how often not."""
        return self._graphs.counts

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames.

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
        parts: list[Segmentation] = []
        summaries: list[MaskSummary] = []
        for start in range(0, len(frames), self._batch):
            part = frames[start : start + self._batch]
            with self._gpu.current("segmenting frames"):
                self._host_frames[: len(part)] = part
                self._host_frames[len(part) :] = 0
                whole = self._geometry.of(self._geometry.width, self._geometry.height)
                parts.append(self._run("frames", self._upload_frames, whole, len(part)))
            summaries += self.last_summaries
        self.last_summaries = tuple(summaries)
        if len(parts) == 1:
            return parts[0]
        empty = np.empty((0, *expected[:2]), np.uint8)
        return Segmentation(
            np.concatenate([part.mask for part in parts] or [empty]),
            np.concatenate([part.score for part in parts] or [empty]),
        )

    def segment_picture(self, picture: NDArray[np.uint8]) -> Segmentation:
        """Fit an (h, w, 3) uint8 BGR camera picture on the GPU and segment it; N is 1.

        Raises:
            InputError: for a picture of another type or shape.
            EngineError: when the GPU gave no answer to this picture.
            DeviceError: when the GPU needs a new process.
        """
        shape = picture.shape
        sane = picture.dtype == np.uint8 and picture.ndim == 3 and shape[2] == 3
        if not sane or not 0 < min(shape) <= max(shape) <= _LARGEST_SIDE:
            raise InputError(
                f"picture is {picture.dtype} {shape}, expected uint8 (h, w, 3) of at most "
                f"{_LARGEST_SIDE} pixels a side"
            )
        height, width = shape[:2]
        place = self._geometry.of(width, height)
        with self._gpu.current("segmenting a picture"):
            staged, memory = self._room_for(picture.nbytes)
            staged[: picture.nbytes].reshape(shape)[:] = picture

            def upload() -> None:
                self._gpu.upload(memory, staged[: picture.nbytes])
                self._launch_fit(memory, place)

            return self._run((width, height), upload, place, 1)

    def layer_times_ms(self, frames: NDArray[np.uint8], *, runs: int) -> dict[str, float]:
        """Median milliseconds of each of the engine's layers, by TensorRT's own profiler.

        Timing changes how the engine runs: close the segmenter afterwards.

        Args:
            frames: (N, H, W, 3) uint8 BGR, N as the segmenter was opened for.
            runs: how often to run it; a tenth more run before to warm up.
        """
        if self._engine is None:
            raise EngineError("this segmenter was closed already")
        warm_up = runs // 10
        with self._gpu.current("timing layers"):
            self._host_frames[:] = frames
            self._upload_frames()
            times = self._engine.profile()
            for _ in range(warm_up + runs):
                self._engine.enqueue()
                self._gpu.wait()
        return {name: float(np.median(each[warm_up:])) for name, each in times.items()}

    def close(self) -> None:
        """Free everything on the GPU; a second call does nothing."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self._graphs.forget()
            engine.close()
        self._gpu.close()

    def _run(
        self, key: Hashable, upload: Callable[[], None], place: FrameFit, count: int
    ) -> Segmentation:
        if self._engine is None:
            raise EngineError("this segmenter was closed already")
        engine = self._engine
        ticket = next(self._tickets) & 0xFFFFFFFF
        self._host_ticket[0] = ticket

        def enqueue() -> None:
            upload()
            self._gpu.upload(self._ticket, self._host_ticket)
            self._gpu.fill(self._mask, _UNWRITTEN)
            engine.enqueue()
            self._gpu.fill(self._summary, 0)
            self._launch_summary(place)
            self._gpu.download(self._host_mask, self._mask)
            self._gpu.download(self._host_score, self._score)
            self._gpu.download(self._host_summary, self._summary)

        self._graphs.run(key, enqueue)
        self._gpu.wait()
        words = self._host_summary[:count].astype(int)
        _check_answer(words, ticket, place)
        self.last_summaries = tuple(
            MaskSummary(*(int(row[i]) for i in (BACKGROUND, GAS_SMOKE, MACHINE, _GAS_SCORE)))
            for row in words
        )
        return Segmentation(self._host_mask[:count].copy(), self._host_score[:count].copy())

    def _upload_frames(self) -> None:
        self._gpu.upload(self._frames, self._host_frames)

    def _room_for(self, nbytes: int) -> tuple[NDArray[np.uint8], DeviceMemory]:
        """Pinned and GPU memory for a picture; graphs hold its address, so growing drops them."""
        if self._host_picture is not None and self._picture is not None:
            if self._picture.nbytes >= nbytes:
                return self._host_picture, self._picture
            self._graphs.forget()
            self._gpu.unpin(self._host_picture)
            self._picture.free()
            self._host_picture = self._picture = None
        self._host_picture, self._picture = self._gpu.pin((nbytes,)), self._gpu.allocate(nbytes)
        return self._host_picture, self._picture

    def _launch_fit(self, picture: DeviceMemory, place: FrameFit) -> None:
        width, height = self._geometry.width, self._geometry.height
        grid = (-(-width // _FIT_BLOCK[0]), -(-height // _FIT_BLOCK[1]))
        size = (place.picture_width, place.picture_height, 3 * place.picture_width)
        where = (place.left, place.top, place.width, place.height)
        self._fit.launch(
            grid, _FIT_BLOCK, picture.address, self._frames.address, *size, width, height, *where
        )

    def _launch_summary(self, place: FrameFit) -> None:
        width, height = self._geometry.width, self._geometry.height
        blocks = -(-width * height // (_SUMMARY_BLOCK * _PIXELS_PER_THREAD))
        buffers = (self._mask, self._score, self._ticket, self._summary)
        self._summarise.launch(
            (blocks, self._batch),
            (_SUMMARY_BLOCK, 1),
            *(memory.address for memory in buffers),
            width,
            height,
            place.left,
            place.top,
            place.width,
            place.height,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_answer(words: NDArray[np.int_], ticket: int, place: FrameFit) -> None:
    """Refuse an answer that is not this frame's or holds what no network gives."""
    if (words[:, _TICKET] != ticket).any():
        raise EngineError(
            f"the GPU answered to frame {words[0, _TICKET]} instead of {ticket}; nothing of it is "
            "used"
        )
    if foreign := int(words[:, _FOREIGN].sum()):
        raise EngineError(
            f"the engine left {foreign} pixels without a class; nothing of it is used"
        )
    counted = words[:, [BACKGROUND, GAS_SMOKE, MACHINE]].sum(axis=1)
    if (counted != place.width * place.height).any():
        raise EngineError(
            f"the GPU counted {counted.tolist()} of {place.width * place.height} pixels; nothing "
            "of it is used"
        )
