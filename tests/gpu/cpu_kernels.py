"""Start the CUDA kernels that were compiled for this CPU, straight on numpy arrays."""

from __future__ import annotations

import ctypes
import struct

import numpy as np

from tests.cuda_double.build import cpu_kernels


class _Dim3(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


_TRANSLATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_ulonglong)


@_TRANSLATE
def _as_it_is(address: int) -> int:
    return address


def launch(name: str, grid: tuple[int, int], block: tuple[int, int], *arguments) -> None:
    """Run a kernel to its end; arrays are passed by address, whole numbers as int."""
    library = ctypes.CDLL(str(cpu_kernels()))
    values = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    layout = "@" + "".join("P" if isinstance(a, np.ndarray) else "i" for a in arguments)
    buffer = struct.pack(layout, *values)
    status = library.launch_kernel(
        name.encode(),
        _Dim3(*grid, 1),
        _Dim3(*block, 1),
        buffer,
        ctypes.c_size_t(len(buffer)),
        _as_it_is,
    )
    assert status == 0, f"{name}: launch status {status}"
