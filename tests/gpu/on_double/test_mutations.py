"""The double is strict enough: each step that is left out of the GPU code is noticed.

Every mutation below breaks the code in one place, as a careless change would. The promises are
checked on it exactly as on the code as it is; a mutation that keeps them all is a failure here.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contract.errors import GasedgeError
from contract.pictures import fit_picture
from contract.precision import Precision
from contract.segmenter import Segmentation
from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter
from edge_runtime.cuda.driver import DeviceMemory, GpuContext, Kernel
from edge_runtime.cuda.frame_path import FramePath
from edge_runtime.cuda.graph import GraphRunner
from edge_runtime.cuda.tensorrt_engine import TensorRTEngine
from export.reference_run import run_reference
from tests.bundles import tiny_pictures


@pytest.fixture
def promises(double, bundle, engines):
    """Checks that answers are right, eager, captured and replayed, and that nothing is left."""
    graph = bundle.graph(Precision.FP32)
    geometry = bundle.manifest.input
    frames = tiny_pictures(3)
    whole = run_reference(graph, frames)
    # 64x64 pictures need no fitting and 128x128 ones only an exact average: no rounding differs.
    pictures = [*tiny_pictures(2, seed=3), *tiny_pictures(3, seed=4, size=128)]
    fitted = np.stack([fit_picture(picture, geometry) for picture in pictures])
    wanted = run_reference(graph, fitted)

    def use():
        with TensorRTSegmenter(engines(), geometry=geometry, expected={}) as segmenter:
            answers = [segmenter.segment(frame[None]) for frame in frames]
            for n, found in enumerate(answers):
                assert np.array_equal(found.mask[0], whole.mask[n])
                assert np.array_equal(found.score[0], whole.score[n])
            answers = [segmenter.segment_picture(picture) for picture in pictures]
            for n, found in enumerate(answers):
                assert np.mean(found.mask[0] != wanted.mask[n]) < 0.02
            assert segmenter.graph_counts.eager == 0
            current = ctypes.c_void_p()
            double.library.cuCtxGetCurrent(ctypes.byref(current))
            assert current.value is None

    def check():
        # Somebody else uses the context too, so that closing it does not free our memory.
        library = double.library
        library.cuInit(0)
        library.cuDevicePrimaryCtxRetain(ctypes.byref(ctypes.c_void_p()), 0)
        with ThreadPoolExecutor(1) as thread:  # a thread that never saw a context before
            thread.submit(use).result()
        gc.collect()
        assert double.left() == {"context": 1}
        library.cuDevicePrimaryCtxRelease_v2(0)
        assert double.left() == {}

    return check


def skipped(*_args, **_options):
    """In place of a step that is left out."""


def no_upload_of(attribute):
    def mutate(monkeypatch):
        original = GpuContext.upload

        def upload(self, memory, array):
            if memory.nbytes != attribute:
                original(self, memory, array)

        monkeypatch.setattr(GpuContext, "upload", upload)

    return mutate


def no_download_of(words):
    def mutate(monkeypatch):
        original = GpuContext.download

        def download(self, array, memory):
            if array.dtype != words:
                original(self, array, memory)

        monkeypatch.setattr(GpuContext, "download", download)

    return mutate


def left_out(owner, name):
    return lambda monkeypatch: monkeypatch.setattr(owner, name, skipped)


def context_not_pushed(monkeypatch):
    @contextlib.contextmanager
    def current(self, doing):
        try:
            yield
        except self._cuda.Error as error:
            raise self.error(doing, str(error)) from error

    monkeypatch.setattr(GpuContext, "current", current)


def context_not_popped(monkeypatch):
    original = GpuContext.current

    @contextlib.contextmanager
    def current(self, doing):
        if self._depth == 0 and not self._closed:
            self._context.push()
        with original(self, doing):
            yield

    monkeypatch.setattr(GpuContext, "current", current)


def pageable_instead_of_pinned(monkeypatch):
    def pin(_self, shape, dtype=np.uint8, *, mapped=False):
        return np.zeros(shape, dtype)

    monkeypatch.setattr(GpuContext, "pin", pin)
    monkeypatch.setattr(GpuContext, "unpin", skipped)


def host_address_given_to_the_engine(monkeypatch):
    original = FramePath.__init__

    def init(self, *arguments):
        original(self, *arguments)
        self.frames.address = self.frames.host.ctypes.data

    monkeypatch.setattr(FramePath, "__init__", init)


def graphs_kept_when_the_picture_moves(monkeypatch):
    original = GraphRunner.run
    monkeypatch.setattr(
        GraphRunner, "run", lambda self, _key, enqueue: original(self, "one key", enqueue)
    )
    monkeypatch.setattr(GraphRunner, "forget", skipped)


def captured_at_once(monkeypatch):
    original = GraphRunner.run

    def run(self, key, enqueue):
        self._graphs.setdefault(key, 0)
        original(self, key, enqueue)

    monkeypatch.setattr(GraphRunner, "run", run)


def fit_into_the_wrong_place(monkeypatch):
    original = Kernel.launch

    def launch(self, grid, block, *arguments):
        original(self, (1, 1), block, *arguments)

    monkeypatch.setattr(Kernel, "launch", launch)


def one_buffer_too_small(monkeypatch):
    original = GpuContext.allocate

    def allocate(self, nbytes):
        memory = original(self, nbytes - 1 if nbytes == 64 * 64 else nbytes)
        memory.nbytes = nbytes
        return memory

    monkeypatch.setattr(GpuContext, "allocate", allocate)


def answers_still_belong_to_the_gpu(monkeypatch):
    """The result is the pinned array itself, which the next frame overwrites."""
    original = FramePath._run

    def run(self, key, upload, fits, engine):
        original(self, key, upload, fits, engine)
        return Segmentation(self.mask.host[: len(fits)], self.score.host[: len(fits)])

    monkeypatch.setattr(FramePath, "_run", run)


MUTATIONS = {
    "no wait": left_out(GpuContext, "wait"),
    "no copy of frames up": no_upload_of(64 * 64 * 3),
    "no copy of pictures up": no_upload_of(128 * 128 * 3),
    "no copy of the ticket up": no_upload_of(4),
    "no copy of the mask and score down": no_download_of(np.uint8),
    "no copy of the summary down": no_download_of(np.uint32),
    "no fill": left_out(GpuContext, "fill"),
    "engine not run": left_out(TensorRTEngine, "enqueue"),
    "addresses not set": left_out(TensorRTEngine, "bind"),
    "kernels not launched": left_out(Kernel, "launch"),
    "kernels launched for a part": fit_into_the_wrong_place,
    "cells not counted": left_out(FramePath, "_launch_cells"),
    "graph never launched": lambda m: m.setattr(GraphRunner, "run", skipped),
    "graphs not freed": left_out(GraphRunner, "forget"),
    "graphs not renewed": graphs_kept_when_the_picture_moves,
    "captured before the first run": captured_at_once,
    "context not pushed": context_not_pushed,
    "context not popped": context_not_popped,
    "pageable memory": pageable_instead_of_pinned,
    "host address on the device": host_address_given_to_the_engine,
    "buffer too small": one_buffer_too_small,
    "answers in pinned memory": answers_still_belong_to_the_gpu,
    "device memory not freed": left_out(DeviceMemory, "free"),
    "engine not freed": left_out(TensorRTEngine, "close"),
    "kernels not unloaded": left_out(Kernel, "unload"),
    "context not released": left_out(GpuContext, "_release"),
}


def test_the_code_as_it_is_keeps_every_promise(promises):
    promises()


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_step_left_out_is_noticed(promises, monkeypatch, double, mutation):
    import pycuda.driver

    MUTATIONS[mutation](monkeypatch)
    with pytest.raises((AssertionError, GasedgeError, pycuda.driver.Error)) as noticed:
        promises()
    assert str(noticed.value)
    monkeypatch.undo()
    double.new_process()
