"""Tests that run on the CUDA double, in a process that was started for it by ../test_on_double.py.

By hand: scripts/test builds the double; then `python -m pytest tests/gpu/test_on_double.py`.
"""

from __future__ import annotations

import ctypes
import gc
import os

import pytest

from contract.bundle import Bundle
from contract.precision import Precision

collect_ignore_glob = [] if "CUDA_DOUBLE_KERNELS" in os.environ else ["test_*.py"]

KINDS = (
    "context", "stream", "event", "module", "graph", "executable graph", "device memory",
    "pinned memory",
)  # fmt: skip


class Double:
    """The driver double's own functions."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.cudaDoubleLeft.restype = ctypes.c_long
        self.library.cudaDoubleHostView.restype = ctypes.c_void_p
        self.library.cudaDoubleHostView.argtypes = [ctypes.c_ulonglong, ctypes.c_size_t]
        self.library.cudaDoubleSetCapacity.argtypes = [ctypes.c_size_t]

    def fail(self, function: str, error: int, *, after: int = 0, sticks: bool = False) -> None:
        self.library.cudaDoubleFail(function.encode(), error, after, int(sticks))

    def calls(self, function: str) -> int:
        return self.library.cudaDoubleCalls(function.encode())

    def left(self) -> dict[str, int]:
        counted = {kind: self.library.cudaDoubleLeft(kind.encode()) for kind in KINDS}
        return {kind: count for kind, count in counted.items() if count}

    def capacity(self, nbytes: int) -> None:
        self.library.cudaDoubleSetCapacity(nbytes)

    def new_process(self) -> None:
        """Forget errors and all that was left on the GPU."""
        self.library.cudaDoubleNewProcess()
        self.capacity(1 << 30)


@pytest.fixture
def double():
    """The double as a new process finds it; a test that leaves anything on the GPU fails."""
    driver = Double()
    driver.new_process()
    yield driver
    gc.collect()
    left = driver.left()
    driver.new_process()
    assert left == {}, "left on the GPU"


@pytest.fixture
def gpu(double):
    from edge_runtime.cuda.driver import GpuContext

    with GpuContext() as context:
        yield context


@pytest.fixture(scope="session")
def bundle(tiny_bundle_original) -> Bundle:
    return Bundle.open(tiny_bundle_original)


@pytest.fixture(scope="session")
def engines(bundle, tmp_path_factory):
    """Engine files by batch, built through the exporter with the TensorRT double."""
    from export.engine import BuildOptions, build_engine

    made = {}

    def engine(batch: int = 1):
        if batch not in made:
            out = tmp_path_factory.mktemp(f"engine-{batch}")
            options = BuildOptions(max_batch=batch)
            made[batch] = build_engine(bundle, Precision.FP32, out=out, options=options).path
        return made[batch]

    return engine


@pytest.fixture
def opened(double, bundle, engines):
    """Opens segmenters on the double and closes them at the end."""
    from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter

    segmenters = []

    def segmenter(*, batch: int = 1, **options) -> TensorRTSegmenter:
        options = {"geometry": bundle.manifest.input, "expected": {}} | options
        segmenters.append(TensorRTSegmenter(engines(batch), **options))
        return segmenters[-1]

    yield segmenter
    for each in segmenters:
        each.close()
