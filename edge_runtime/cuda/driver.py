"""The thin seam to CUDA through pycuda: one context, its stream, memory and kernels.

The primary context of the GPU is retained, the one that TensorRT uses as well. It is current in a
thread only inside `GpuContext.current()`, which one thread at a time can enter, so that a segmenter
may be opened by one thread and served by another and no thread is left with a context. All work
goes through one stream and is done only when `wait` returns.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.closing import Closing
from contract.errors import DeviceError, EngineError, GasedgeError
from contract.machine import this_machine
from contract.packages import need
from edge_runtime.cuda.kernel_images import image_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

__all__ = ["DeviceMemory", "GpuContext", "Kernel"]

_ARGUMENT_TYPES = {"P": np.uintp, "i": np.int32}

_log = logging.getLogger(__name__)


class DeviceMemory:
    """Bytes on the GPU; `address` means something only there."""

    def __init__(self, gpu: GpuContext, allocation: Any, nbytes: int) -> None:
        self._gpu = gpu
        self._allocation = allocation
        self.address = int(allocation)
        self.nbytes = nbytes

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""
        allocation, self._allocation = self._allocation, None
        if allocation is not None:
            self._gpu.forget(self.free)
            with self._gpu.current("freeing GPU memory"):
                allocation.free()


class Kernel:
    """One of the kernels, loaded."""

    def __init__(self, gpu: GpuContext, function: Any, layout: str) -> None:
        self._gpu = gpu
        self._function = function
        self._types = [_ARGUMENT_TYPES[letter] for letter in layout]

    def unload(self) -> None:
        """Drop the kernel and its module, which needs the context."""
        with self._gpu.current("unloading a kernel"):
            self._function = None

    def launch(self, grid: tuple[int, int], block: tuple[int, int], *arguments: int) -> None:
        """Put a launch on the stream; addresses and whole numbers in the kernel's order."""
        if self._function is None:
            raise EngineError("launching a kernel: the GPU was closed already")
        with self._gpu.current("launching a kernel"):
            typed = (kind(value) for kind, value in zip(self._types, arguments, strict=True))
            stream = self._gpu.stream
            self._function(*typed, grid=(*grid, 1), block=(*block, 1), stream=stream)


class GpuContext(Closing):
    """The primary context of the first GPU and one stream on it.

    Raises:
        EngineError: when there is no GPU that can be used.
        DeviceError: when the context is lost; only a new process can use the GPU again.
        MissingPackageError: when pycuda is not installed.
    """

    def __init__(self) -> None:
        note = this_machine().gpu_note
        if note:
            raise EngineError(f"no GPU to run on: {note}")
        self._cuda: Any = need("pycuda.driver", extra="edge")
        self._lock = threading.RLock()
        self._depth = 0
        self._lost = False
        self.capturing = False  # set by graphs: nothing may be asked of the GPU meanwhile
        self._closed = False
        self._closers: list[Callable[[], None]] = []
        try:
            self._cuda.init()
            device = self._cuda.Device(0)
            self._context: Any = device.retain_primary_context()
        except self._cuda.Error as error:
            raise EngineError(f"the GPU cannot be used: {error}") from error
        self.name: str = device.name()
        self.compute_capability = ".".join(str(part) for part in device.compute_capability())
        attribute = self._cuda.device_attribute
        self.is_integrated = bool(device.get_attribute(attribute.INTEGRATED))  # shares host DRAM
        self.maps_host_memory = bool(device.get_attribute(attribute.CAN_MAP_HOST_MEMORY))
        self.stream: Any = None
        try:
            with self.current("making a stream"):
                self.stream = self._cuda.Stream()
        except BaseException:
            self.close()
            raise

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT and the CUDA driver take it."""
        return int(self.stream.handle)

    @contextlib.contextmanager
    def current(self, doing: str) -> Iterator[None]:
        """Make the context current in this thread; errors of CUDA inside become gasedge's.

        Args:
            doing: what is done inside, for the message: "copying a frame".
        """
        with self._lock:
            if self._closed:
                raise EngineError(f"{doing}: the GPU was closed already")
            try:
                if self._depth == 0:
                    self._context.push()
                self._depth += 1
                try:
                    yield
                except self._cuda.Error as error:
                    raise self.error(doing, str(error)) from error
                finally:
                    self._depth -= 1
                    if self._depth == 0:
                        self._cuda.Context.pop()
            except self._cuda.Error as error:  # of push or pop
                raise self.error(doing, str(error)) from error

    def error(self, doing: str, said: str) -> GasedgeError:
        """The error to raise after a CUDA call failed: DeviceError when the context is lost.

        A fault of work on the GPU sticks to the context, so a further call tells.
        """
        if "out of memory" in said:
            return EngineError(
                f"{doing}: GPU memory ran out ({said}); use a smaller batch or stop what else "
                "runs on the GPU"
            )
        if self.capturing:
            return EngineError(f"{doing}: {said}")
        try:
            self._cuda.Context.synchronize()
        except self._cuda.Error as error:
            self._lost = self._depth > 0
            if self._lost:
                return DeviceError(
                    f"{doing}: {error}; the CUDA context is lost, only a new process can use "
                    "the GPU again"
                )
        return EngineError(f"{doing}: {said}")

    def allocate(self, nbytes: int) -> DeviceMemory:
        """Take GPU memory; it is given back by `free` or when the context closes."""
        with self.current(f"taking {nbytes} bytes of GPU memory"):
            memory = DeviceMemory(self, self._cuda.mem_alloc(nbytes), nbytes)
        self._closers.append(memory.free)
        return memory

    def pin(
        self, shape: Sequence[int], dtype: DTypeLike = np.uint8, *, mapped: bool = False
    ) -> NDArray[Any]:
        """A host array that the GPU copies from and to without the CPU; lives as the context.

        Args:
            shape: of the array.
            dtype: of the array.
            mapped: let the GPU's own code use it as well, at `address_of` the array.
        """
        flags = self._cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        with self.current("pinning host memory"):
            array: NDArray[Any] = self._cuda.pagelocked_empty(tuple(shape), dtype, mem_flags=flags)
        self._closers.append(array.base.free)  # type: ignore[union-attr]
        return array

    def address_of(self, array: NDArray[Any]) -> int:
        """Where the GPU finds a mapped array."""
        with self.current("mapping host memory"):
            return int(array.base.get_device_pointer())  # type: ignore[union-attr]

    def unpin(self, array: NDArray[Any]) -> None:
        """Give a pinned array back before the context closes; it must not be used afterwards."""
        free = array.base.free  # type: ignore[union-attr]
        self.forget(free)
        with self.current("unpinning host memory"):
            free()

    def forget(self, closer: Callable[[], None]) -> None:
        """Do not call `closer` when the context closes: it was done."""
        with contextlib.suppress(ValueError):
            self._closers.remove(closer)

    def upload(self, memory: DeviceMemory, array: NDArray[Any]) -> None:
        """Put a copy of a pinned array to the GPU on the stream."""
        self._check_size(memory, array)
        with self.current("copying to the GPU"):
            self._cuda.memcpy_htod_async(memory.address, array, self.stream)

    def download(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """Put a copy from the GPU into a pinned array on the stream."""
        self._check_size(memory, array)
        with self.current("copying from the GPU"):
            self._cuda.memcpy_dtoh_async(array, memory.address, self.stream)

    def fill(self, address: int, value: int, nbytes: int) -> None:
        """Put a fill of that many bytes of GPU memory on the stream."""
        with self.current("filling GPU memory"):
            self._cuda.memset_d8_async(address, value, nbytes, self.stream)

    def wait(self) -> None:
        """Wait until all that was put on the stream is done."""
        with self.current("waiting for the GPU"):
            self.stream.synchronize()

    def kernel(self, name: str, layout: str, image: bytes | None = None) -> Kernel:
        """Load one of the kernels.

        Args:
            name: of the kernel and its source.
            layout: its arguments, "P" for an address and "i" for an int.
            image: compiled for this GPU; None takes the one that is shipped.
        """
        image = image or image_for(name, self.compute_capability)
        with self.current(f"loading kernel {name}"):
            function = self._cuda.module_from_buffer(image).get_function(name)
        kernel = Kernel(self, function, layout)
        self._closers.append(kernel.unload)
        return kernel

    def free_bytes(self) -> int:
        """Device memory that is free now, of all processes."""
        with self.current("asking for free GPU memory"):
            free, _ = self._cuda.mem_get_info()
        return int(free)

    def close(self) -> None:
        """Free all memory, the stream and the context; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            if not self._lost:
                self._free_all()
            self._closed = True
            self._release()

    def _free_all(self) -> None:
        with contextlib.suppress(DeviceError, EngineError), self.current("closing the GPU"):
            for closer in reversed(list(self._closers)):
                try:
                    closer()
                except (GasedgeError, self._cuda.Error) as error:
                    _log.warning("freeing on the GPU failed: %s", error)
            self._closers.clear()
            self.stream = None  # its destructor needs the context

    def _release(self) -> None:
        """Release the context in any thread, and leave none current in this one."""
        with contextlib.suppress(self._cuda.Error):
            self._context.push()
            self._context.detach()
        # pycuda releases a primary context but leaves it on CUDA's stack of this thread.
        ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def _check_size(self, memory: DeviceMemory, array: NDArray[Any]) -> None:
        if array.nbytes > memory.nbytes:
            raise EngineError(
                f"a copy of {array.nbytes} bytes does not fit {memory.nbytes} bytes of GPU memory"
            )
