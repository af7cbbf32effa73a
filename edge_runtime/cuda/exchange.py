"""Memory that host and GPU hand pictures and answers to each other through, in one of two ways.

COPIED: the host writes pinned memory and the GPU's copy engine moves it to memory of the GPU's own,
or back. MAPPED: the GPU reads and writes the host's memory itself; where both share one DRAM, as on
a Jetson, that spares the copy, and elsewhere it crosses the bus at every touch. Which is faster is
measured on the device (`edge_runtime.cuda.transfer_choice`), never assumed to be.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from edge_runtime.cuda.driver import DeviceMemory, GpuContext

__all__ = ["Exchange", "Transfer"]


class Transfer(str, Enum):
    """How bytes get from the host to the GPU and back."""

    COPIED = "copied"
    MAPPED = "mapped"

    def __str__(self) -> str:
        return str(self.value)


class Exchange:
    """A host array and the GPU's address of its content; freed with the context at the latest.

    Args:
        gpu: the context.
        shape: of the host array.
        transfer: how the content moves.
        dtype: of the host array.

    Raises:
        EngineError: when memory runs out or this GPU cannot read host memory.
    """

    def __init__(
        self,
        gpu: GpuContext,
        shape: Sequence[int],
        transfer: Transfer,
        dtype: DTypeLike = np.uint8,
    ) -> None:
        self._gpu = gpu
        self._memory: DeviceMemory | None = None
        mapped = transfer is Transfer.MAPPED
        if mapped and not gpu.maps_host_memory:
            raise EngineError(
                f"{gpu.name} cannot read host memory, so pictures cannot be handed over mapped; "
                "take copied"
            )
        self.host: NDArray[Any] = gpu.pin(shape, dtype, mapped=mapped)
        self.nbytes = self.host.nbytes
        if mapped:
            self.address = gpu.address_of(self.host)
        else:
            self._memory = gpu.allocate(self.nbytes)
            self.address = self._memory.address

    def to_gpu(self, count: int | None = None) -> None:
        """Put on the stream that the first `count` entries, or all, reach the GPU."""
        if self._memory is not None:
            self._gpu.upload(self._memory, self.host[:count])

    def to_host(self, count: int | None = None) -> None:
        """Put on the stream that the first `count` entries, or all, reach the host."""
        if self._memory is not None:
            self._gpu.download(self.host[:count], self._memory)

    def free(self) -> None:
        """Give the memory back before the context closes; nothing may use it afterwards."""
        self._gpu.unpin(self.host)
        if self._memory is not None:
            self._memory.free()
