"""What every way of running the network gives: uint8 frames in, mask and gas score out.

A checkpoint in torch, a bundle on the CPU and an engine on the GPU all are a `Segmenter`, so one
piece of code scores, times and serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.geometry import InputGeometry

__all__ = ["Segmentation", "Segmenter"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The network's answer for N frames; the arrays belong to the caller."""

    mask: NDArray[np.uint8]  # (N, H, W) class index
    score: NDArray[np.uint8]  # (N, H, W) gas-smoke probability, 0..255 is 0..1


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
