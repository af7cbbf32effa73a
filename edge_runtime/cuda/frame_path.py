"""The way of camera pictures to the engine's input, and of its answer back to the host.

Pictures or frames go up, pictures are fitted, the engine runs, the mask's classes and the gas of
its cells are counted and all comes down: put on the stream once, captured as a CUDA graph, then
started by one call. Every run carries a ticket number through the GPU and back, and the mask is
overwritten with a value that no network gives before the engine runs: an answer that is not this
frame's is an error, never a mask.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import EngineError
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.segmenter import Segmentation
from edge_runtime.cuda.exchange import Exchange, Transfer
from edge_runtime.cuda.graph import GraphRunner
from edge_runtime.leaks.cells import cell_side, cells_shape, most_cells
from edge_runtime.pixels import Layout, layout_of, pixels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from contract.geometry import FrameFit, InputGeometry
    from edge_runtime.cuda.driver import GpuContext
    from edge_runtime.pixels import CameraPicture

__all__ = ["LARGEST_SIDE", "FramePath", "MaskSummary"]

LARGEST_SIDE = 16384  # beyond it the fit kernel's whole numbers overflow

_UNWRITTEN = 0xFF  # no class index
_FOREIGN, _GAS_SCORE, _TICKET, _WORDS = 3, 4, 5, 6  # words of a summary, as in mask_summary.cu
_FIT_BLOCK, _CELL_BLOCK = (32, 8), (32, 4)
_SUMMARY_BLOCK, _PIXELS_PER_THREAD = 128, 64
_ALIGNMENT = 256  # of each picture in the memory that holds several


@dataclass(frozen=True, slots=True)
class MaskSummary:
    """What the GPU counted in one mask, inside the picture's part of it; everything in pixels."""

    background: int
    gas_smoke: int
    machine: int
    gas_score_sum: int  # of the gas pixels' scores, each 0..255


class FramePath:
    """Buffers and kernels around an engine, for 1 to `batch` frames of one run.

    Args:
        gpu: the context; it frees all of this when it closes.
        geometry: of the engine's input.
        batch: most frames of a run.
        transfer: how pictures and answers cross between host and GPU.
        kernels: images of kernels that were compiled for this very GPU, by name; what is not
            among them is taken from those that are shipped.
    """

    def __init__(
        self,
        gpu: GpuContext,
        geometry: InputGeometry,
        batch: int,
        transfer: Transfer,
        kernels: Mapping[str, bytes] | None = None,
    ) -> None:
        self._gpu, self._geometry, self._transfer = gpu, geometry, transfer
        self.graphs = GraphRunner(gpu)
        self._tickets = itertools.count(1)
        shape = (batch, geometry.height, geometry.width)
        self._pixels = geometry.height * geometry.width
        built = kernels or {}
        self._fit = gpu.kernel("fit_picture", "PPiiiiiiiiii", built.get("fit_picture"))
        self._summarise = gpu.kernel("mask_summary", "PPPPiiiiii", built.get("mask_summary"))
        self._count_cells = gpu.kernel("gas_cells", "PPPiiiiii", built.get("gas_cells"))
        # the engine reads its input again and again, so that is never the host's memory
        self.frames = Exchange(gpu, (*shape, 3), Transfer.COPIED)
        self.mask, self.score = Exchange(gpu, shape, transfer), Exchange(gpu, shape, transfer)
        self._summary = Exchange(gpu, (batch, _WORDS), transfer, np.uint32)
        self._most_cells = most_cells(geometry)
        self._cells = Exchange(gpu, (batch, self._most_cells), transfer, np.uint32)
        self._ticket = Exchange(gpu, (1,), transfer, np.uint32)
        self._pictures: Exchange | None = None
        self.last_summaries: tuple[MaskSummary, ...] = ()
        self.last_cells: tuple[NDArray[np.uint32], ...] = ()
        """Of each mask of the last run, as `Segmentation.cells`."""

    def run_frames(self, frames: NDArray[np.uint8], engine: Callable[[int], None]) -> Segmentation:
        """Run 1 to `batch` (N, H, W, 3) frames that are fitted already.

        Args:
            frames: checked by the caller.
            engine: puts a run of that many frames on the stream.

        Raises:
            EngineError: when the GPU gave no answer to these frames.
            DeviceError: when the GPU needs a new process.
        """
        count = len(frames)
        whole = self._geometry.of(self._geometry.width, self._geometry.height)
        with self._gpu.current("segmenting frames"):  # and one thread at a time
            self.frames.host[:count] = frames
            key = ("frames", count)
            return self._run(key, lambda: self.frames.to_gpu(count), [whole] * count, engine)

    def run_pictures(
        self, pictures: Sequence[CameraPicture], engine: Callable[[int], None]
    ) -> Segmentation:
        """Fit 1 to `batch` pictures, of whatever sizes and layouts, and run them at once.

        There is a graph for each set of them, so the same cameras in another order share one.

        Args:
            pictures: checked by the caller.
            engine: puts a run of that many frames on the stream.

        Raises:
            EngineError: when the GPU gave no answer to these pictures.
            DeviceError: when the GPU needs a new process.
        """
        kinds = [(each.shape[:2], layout_of(each)) for each in pictures]
        order = sorted(range(len(pictures)), key=kinds.__getitem__)
        placed = [pixels_of(pictures[i]) for i in order]
        layouts = [kinds[i][1] for i in order]
        fits = [self._geometry.of(kinds[i][0][1], kinds[i][0][0]) for i in order]
        ends = list(itertools.accumulate(-(-p.nbytes // _ALIGNMENT) * _ALIGNMENT for p in placed))
        starts = [0, *ends[:-1]]
        with self._gpu.current("segmenting pictures"):  # and one thread at a time
            staged = self._room_for(ends[-1])
            for start, picture in zip(starts, placed, strict=True):
                staged.host[start : start + picture.nbytes].reshape(picture.shape)[:] = picture

            def upload() -> None:
                staged.to_gpu(ends[-1])
                for index, (start, fit) in enumerate(zip(starts, fits, strict=True)):
                    self._launch_fit(staged.address + start, index, fit, layouts[index])

            found = self._run(tuple(kinds[i] for i in order), upload, fits, engine)
            back = sorted(range(len(order)), key=order.__getitem__)
            if back == list(range(len(back))):
                return found
            self.last_summaries = tuple(self.last_summaries[i] for i in back)
            self.last_cells = tuple(self.last_cells[i] for i in back)
            return Segmentation(found.mask[back], found.score[back])

    def _run(
        self,
        key: Hashable,
        upload: Callable[[], None],
        fits: Sequence[FrameFit],
        engine: Callable[[int], None],
    ) -> Segmentation:
        count = len(fits)
        ticket = next(self._tickets) & 0xFFFFFFFF
        self._ticket.host[0] = ticket

        def enqueue() -> None:
            upload()
            self._ticket.to_gpu()
            self._gpu.fill(self.mask.address, _UNWRITTEN, count * self._pixels)
            engine(count)
            self._gpu.fill(self._summary.address, 0, count * _WORDS * 4)
            for index, fit in enumerate(fits):
                self._launch_summary(index, fit)
                self._launch_cells(index, fit)
            for each in (self.mask, self.score, self._summary, self._cells):
                each.to_host(count)

        self.graphs.run(key, enqueue)
        self._gpu.wait()
        words = self._summary.host[:count].astype(int)
        cells = [self._cells_of(index, fit) for index, fit in enumerate(fits)]
        for row, fit, each in zip(words, fits, cells, strict=True):
            _check_answer(row, ticket, fit)
            _check_cells(row, each)
        self.last_cells = tuple(cells)
        self.last_summaries = tuple(
            MaskSummary(*(int(row[i]) for i in (BACKGROUND, GAS_SMOKE, MACHINE, _GAS_SCORE)))
            for row in words
        )
        return Segmentation(self.mask.host[:count].copy(), self.score.host[:count].copy())

    def _room_for(self, nbytes: int) -> Exchange:
        """Memory for pictures; graphs hold its address, so growing drops them."""
        if self._pictures is not None and self._pictures.nbytes >= nbytes:
            return self._pictures
        self.graphs.forget()
        smaller, self._pictures = self._pictures, None
        if smaller is not None:
            smaller.free()
        self._pictures = Exchange(self._gpu, (nbytes,), self._transfer)
        return self._pictures

    def _launch_fit(self, picture: int, index: int, fit: FrameFit, layout: Layout) -> None:
        width, height = self._geometry.width, self._geometry.height
        grid = (-(-width // _FIT_BLOCK[0]), -(-height // _FIT_BLOCK[1]))
        pitch = fit.picture_width * (3 if layout is Layout.BGR else 1)
        size = (fit.picture_width, fit.picture_height, pitch, layout)
        where = (fit.left, fit.top, fit.width, fit.height)
        frame = self.frames.address + 3 * index * self._pixels
        self._fit.launch(grid, _FIT_BLOCK, picture, frame, *size, width, height, *where)

    def _launch_summary(self, index: int, fit: FrameFit) -> None:
        width, height = self._geometry.width, self._geometry.height
        blocks = -(-self._pixels // (_SUMMARY_BLOCK * _PIXELS_PER_THREAD))
        self._summarise.launch(
            (blocks, 1),
            (_SUMMARY_BLOCK, 1),
            self.mask.address + index * self._pixels,
            self.score.address + index * self._pixels,
            self._ticket.address,
            self._summary.address + index * _WORDS * 4,
            width,
            height,
            fit.left,
            fit.top,
            fit.width,
            fit.height,
        )

    def _launch_cells(self, index: int, fit: FrameFit) -> None:
        rows, columns = cells_shape(fit)
        self._count_cells.launch(
            (-(-columns // _CELL_BLOCK[0]), -(-rows // _CELL_BLOCK[1])),
            _CELL_BLOCK,
            self.mask.address + index * self._pixels,
            self.score.address + index * self._pixels,
            self._cells.address + index * self._most_cells * 4,
            self._geometry.width,
            fit.left,
            fit.top,
            fit.width,
            fit.height,
            cell_side(fit),
        )

    def _cells_of(self, index: int, fit: FrameFit) -> NDArray[np.uint32]:
        rows, columns = cells_shape(fit)
        words: NDArray[np.uint32] = self._cells.host[index, : rows * columns].copy()
        return words.reshape(rows, columns)


def _check_cells(row: NDArray[np.int_], cells: NDArray[np.uint32]) -> None:
    """Refuse cells that were not counted of this frame: they add up to its summary."""
    pixels, scores = int((cells & 0xFFFF).sum()), int((cells >> 16).sum())
    if (pixels, scores) != (row[GAS_SMOKE], row[_GAS_SCORE]):
        raise EngineError(
            f"the GPU counted {pixels} gas pixels in cells and {row[GAS_SMOKE]} in all; nothing of "
            "it is used"
        )


def _check_answer(row: NDArray[np.int_], ticket: int, fit: FrameFit) -> None:
    """Refuse an answer that is not this frame's or holds what no network gives."""
    if row[_TICKET] != ticket:
        raise EngineError(
            f"the GPU answered to frame {row[_TICKET]} instead of {ticket}; nothing of it is used"
        )
    if row[_FOREIGN]:
        raise EngineError(
            f"the engine left {row[_FOREIGN]} pixels without a class; nothing of it is used"
        )
    counted = int(row[[BACKGROUND, GAS_SMOKE, MACHINE]].sum())
    if counted != fit.width * fit.height:
        raise EngineError(
            f"the GPU counted {counted} of {fit.width * fit.height} pixels; nothing of it is used"
        )
