"""One frame after the other where TensorRT can read it while it takes its own INT8 ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.cuda.driver import GpuContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GpuFrameFeed"]


class GpuFrameFeed:
    """A frame's memory on the GPU and the pinned memory that it is copied from.

    Args:
        shape: (1, H, W, 3) of every frame.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._gpu = GpuContext()
        try:
            self._pinned = self._gpu.pin(shape)
            self._memory = self._gpu.allocate(int(np.prod(shape)))
        except BaseException:
            self._gpu.close()
            raise

    def put(self, frame: NDArray[np.uint8]) -> int:
        """Copy a frame to the GPU and give its address; the copy is done on return.

        Raises:
            EngineError: when it cannot be copied.
        """
        self._pinned[...] = frame
        self._gpu.upload(self._memory, self._pinned)
        self._gpu.wait()
        return self._memory.address

    def close(self) -> None:
        """Give all memory back; a second call does nothing."""
        self._gpu.close()
