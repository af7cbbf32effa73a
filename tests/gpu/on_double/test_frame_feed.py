"""Frames reach the GPU before TensorRT, taking its own ranges, is told where they are."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from contract.errors import EngineError
from edge_runtime.cuda.frame_feed import GpuFrameFeed

SHAPE = (1, 8, 16, 3)
OUT_OF_MEMORY = 2


def on_gpu(double, address):
    size = int(np.prod(SHAPE))
    view = double.library.cudaDoubleHostView(address, size)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(view)).reshape(SHAPE)


def test_each_frame_is_on_the_gpu_when_its_address_is_given(double):
    random = np.random.default_rng(5)
    feed = GpuFrameFeed(SHAPE)
    for _ in range(3):
        frame = random.integers(0, 255, SHAPE, np.uint8)
        assert np.array_equal(on_gpu(double, feed.put(frame)), frame)
    feed.close()
    feed.close()
    assert double.left() == {}


def test_a_feed_that_cannot_be_made_leaves_nothing_on_the_gpu(double):
    double.fail("cuMemAlloc_v2", OUT_OF_MEMORY)
    with pytest.raises(EngineError, match="GPU memory ran out"):
        GpuFrameFeed(SHAPE)
    assert double.left() == {}
