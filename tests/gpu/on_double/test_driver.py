"""The seam to CUDA: real pycuda on the driver double."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest

from contract.errors import DeviceError, EngineError
from edge_runtime.cuda.driver import GpuContext
from edge_runtime.pixels import Layout

INVALID_CONTEXT = 201


def fit(gpu, memory, size):
    """Launch the fit kernel into memory that must hold an input of size x size."""
    picture = gpu.allocate(size * size * 3)
    kernel = gpu.kernel("fit_picture", "PPiiiiiiiiii")
    numbers = (size, size, 3 * size, int(Layout.BGR), size, size, 0, 0, size, size)
    kernel.launch(
        (-(-size // 32), -(-size // 8)), (32, 8), picture.address, memory.address, *numbers
    )


def test_the_gpu_is_named_with_its_compute_capability(gpu):
    assert gpu.name == "CUDA double (no GPU)"
    assert gpu.compute_capability == "8.7"


def test_what_goes_up_comes_down_but_only_after_waiting(gpu):
    up, down = gpu.pin((300,)), gpu.pin((300,))
    up[:] = np.arange(300) % 251
    memory = gpu.allocate(300)
    gpu.upload(memory, up)
    gpu.download(down, memory)
    assert not np.array_equal(down, up)
    gpu.wait()
    assert np.array_equal(down, up)


def test_a_copy_takes_what_pinned_memory_holds_when_it_is_made(gpu):
    up, down = gpu.pin((4,)), gpu.pin((4,))
    memory = gpu.allocate(4)
    up[:] = 1
    gpu.upload(memory, up)
    up[:] = 2  # too early: the copy was not made yet
    gpu.download(down, memory)
    gpu.wait()
    assert down.tolist() == [2, 2, 2, 2]


def test_fresh_memory_is_not_zero(gpu):
    down = gpu.pin((64,))
    gpu.download(down, gpu.allocate(64))
    gpu.wait()
    assert (down != 0).all()


def test_a_copy_that_does_not_fit_is_refused(gpu):
    with pytest.raises(EngineError, match="does not fit"):
        gpu.upload(gpu.allocate(8), gpu.pin((9,)))


def test_no_thread_keeps_the_context_between_calls(gpu, double):
    gpu.allocate(8)
    current = ctypes.c_void_p(1)
    double.library.cuCtxGetCurrent(ctypes.byref(current))
    assert current.value is None
    address = ctypes.c_ulonglong()
    assert double.library.cuMemAlloc_v2(ctypes.byref(address), 8) == INVALID_CONTEXT


def test_everything_is_freed_when_the_context_closes_in_any_thread(double):
    gpu = GpuContext()
    gpu.allocate(1000)
    gpu.pin((1000,))
    gpu.kernel("mask_summary", "PPPPiiiiii")
    assert double.left() == {
        "context": 1, "stream": 1, "device memory": 1, "pinned memory": 1, "module": 1
    }  # fmt: skip
    thread = threading.Thread(target=gpu.close)
    thread.start()
    thread.join()
    assert double.left() == {}
    gpu.close()
    with pytest.raises(EngineError, match="closed already"):
        gpu.allocate(1)


def test_memory_can_be_given_back_early_and_twice(gpu, double):
    memory = gpu.allocate(10)
    memory.free()
    memory.free()
    gpu.unpin(gpu.pin((10,)))
    assert double.left() == {"context": 1, "stream": 1}


def test_running_out_of_memory_says_so_and_harms_nothing(gpu, double):
    double.capacity(1000)
    with pytest.raises(EngineError, match="memory ran out"):
        gpu.allocate(2000)
    gpu.allocate(900)
    gpu.wait()


def test_a_kernel_that_writes_out_of_bounds_loses_the_context(gpu, double):
    small = gpu.allocate(32 * 32 * 3 - 3)
    fit(gpu, small, 32)
    with pytest.raises(DeviceError, match="new process"):
        gpu.wait()
    with pytest.raises(DeviceError):
        gpu.allocate(8)
    gpu.close()
    double.new_process()


def test_memory_that_was_freed_is_not_there_for_kernels(gpu, double):
    memory = gpu.allocate(32 * 32 * 3)
    memory.free()
    fit(gpu, memory, 32)
    with pytest.raises(DeviceError):
        gpu.wait()
    gpu.close()
    double.new_process()


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.7", "8.9", "9.0", "11.0", "12.0"])
def test_every_gpu_gets_an_image_that_its_driver_loads(double, monkeypatch, capability):
    monkeypatch.setenv("CUDA_DOUBLE_CAPABILITY", capability)
    with GpuContext() as gpu:
        assert gpu.compute_capability == capability
        memory = gpu.allocate(32 * 32 * 3)
        fit(gpu, memory, 32)
        gpu.wait()


def test_a_gpu_that_is_too_old_is_named(double, monkeypatch):
    monkeypatch.setenv("CUDA_DOUBLE_CAPABILITY", "6.1")
    with GpuContext() as gpu, pytest.raises(EngineError, match="or newer is needed"):
        gpu.kernel("fit_picture", "PPiiiiiiiiii")


def test_a_driver_that_does_not_start_is_named(double):
    double.fail("cuInit", 100)
    with pytest.raises(EngineError, match="no GPU to run on"):
        GpuContext()


def test_a_failed_start_leaves_nothing(double):
    double.fail("cuStreamCreate", 2)
    with pytest.raises(EngineError):
        GpuContext()
    assert double.left() == {}
