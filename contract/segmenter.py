"""What every way of running the network gives: uint8 frames in, mask and gas score out.

A checkpoint in torch, a bundle on the CPU and an engine on the GPU all are a `Segmenter`, so one
piece of code scores, times and serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from contract.errors import EngineError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.geometry import InputGeometry

__all__ = ["Run", "Segmentation", "Segmenter", "check_frames", "one_line"]


def check_frames(frames: NDArray[np.uint8], geometry: InputGeometry) -> None:
    """Refuse frames that are not (N >= 1, H, W, 3) uint8 of the geometry.

    Raises:
        EngineError: with the shape and type seen.
    """
    size = (geometry.height, geometry.width, 3)
    if frames.dtype != np.uint8 or frames.ndim != 4 or not len(frames) or frames.shape[1:] != size:
        raise EngineError(
            f"frames are {frames.dtype} of shape {frames.shape}, the network takes uint8 "
            f"(N, {geometry.height}, {geometry.width}, 3): fit them with fit_picture"
        )


def one_line(error: BaseException) -> str:
    """What a runtime's many-lined exception says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The network's answer for N frames; the arrays belong to the caller."""

    mask: NDArray[np.uint8]  # (N, H, W) class index
    score: NDArray[np.uint8]  # (N, H, W) gas-smoke probability, 0..255 is 0..1
    # of one frame, where the backend counts them: (rows, columns) of the cells that leaks are
    # followed on; gas pixels in the lower half of each word, the sum of their scores in the upper
    cells: NDArray[np.uint32] | None = None


class Run(Protocol):
    """Pictures that are being segmented."""

    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        ...

    def result(self) -> list[Segmentation]:
        """Wait for the answers, one a picture, each of N = 1.

        Raises:
            EngineError: when the backend fails.
            DeviceError: when the GPU needs a new process.
        """
        ...


class Segmenter(Protocol):
    """Runs the network on frames that are already fitted into its input."""

    @property
    def name(self) -> str:
        """Backend, precision and device, as a report prints them."""
        ...

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        ...

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames.

        Raises:
            EngineError: when the backend fails.
            DeviceError: when the GPU needs a new process.
        """
        ...

    def close(self) -> None:
        """Free what the backend holds; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
