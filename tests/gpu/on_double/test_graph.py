"""CUDA graphs on the driver double: what is replayed, what is counted, what is given back."""

from __future__ import annotations

import numpy as np
import pytest

from contract.errors import DeviceError, EngineError
from edge_runtime.cuda.graph import _KEPT, GraphRunner


class Doubling:
    """Work on the GPU: a copy up and down again, through fresh pinned memory."""

    def __init__(self, gpu):
        self.gpu = gpu
        self.up, self.down = gpu.pin((16,)), gpu.pin((16,))
        self.memory = gpu.allocate(16)

    def enqueue(self):
        self.gpu.upload(self.memory, self.up)
        self.gpu.download(self.down, self.memory)

    def check(self, runner, value, key="key"):
        self.up[:] = value
        runner.run(key, self.enqueue)
        self.gpu.wait()
        assert self.down.tolist() == [value] * 16


@pytest.fixture
def work(gpu):
    return Doubling(gpu)


@pytest.fixture
def runner(gpu):
    made = GraphRunner(gpu)
    yield made
    if not gpu._closed:
        made.forget()


def test_a_graph_runs_on_what_memory_holds_when_it_is_launched(runner, work, double):
    for value in range(5):
        work.check(runner, value)
    assert (runner.counts.warm_ups, runner.counts.launched) == (1, 4)
    assert double.calls("cuGraphLaunch") == 4
    assert double.calls("cuStreamBeginCapture_v2") == 1


def test_another_key_is_captured_anew_and_only_a_few_are_kept(runner, work, double):
    for key in range(2 * _KEPT):
        for value in (1, 2):
            work.check(runner, value, key)
    assert double.left()["executable graph"] == _KEPT
    runner.forget()
    assert "executable graph" not in double.left()
    assert "graph" not in double.left()


@pytest.mark.parametrize("function", ["cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"])
def test_a_failed_capture_is_logged_and_counted_and_runs_call_by_call(
    runner, work, double, caplog, function
):
    double.fail(function, 900)
    work.check(runner, 1)
    work.check(runner, 2)
    double.fail(function, 0)
    work.check(runner, 3)
    assert (runner.counts.eager, runner.counts.failed_captures, runner.counts.launched) == (2, 1, 0)
    assert caplog.text.count("call by call") == 1
    assert "graph" not in double.left()


def test_work_that_cannot_be_captured_runs_call_by_call(runner, gpu, work, double):
    def waits():
        work.enqueue()
        gpu.wait()

    work.up[:] = 9
    for _ in range(3):
        runner.run("waits", waits)
    assert work.down.tolist() == [9] * 16
    assert (runner.counts.eager, runner.counts.failed_captures) == (2, 1)
    assert "graph" not in double.left()
    work.check(runner, 4)  # the stream is not left in a capture


def test_an_error_inside_a_capture_does_not_leave_the_stream_capturing(runner, gpu, work):
    work.check(runner, 1)

    def breaks():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - its type is all it has
        runner.run("key", breaks)
    work.check(runner, 2)


def test_a_context_lost_in_a_graph_is_a_device_error_not_a_fallback(runner, gpu, work, double):
    work.check(runner, 1)
    work.check(runner, 2)
    work.memory.free()
    with pytest.raises(DeviceError):
        work.check(runner, 3)
    assert runner.counts.eager == 0
    gpu.close()
    double.new_process()


def test_pageable_memory_cannot_be_captured(runner, gpu, work):
    pageable = np.zeros(16, np.uint8)

    def enqueue():
        gpu.upload(work.memory, pageable)

    runner.run("pageable", enqueue)
    runner.run("pageable", enqueue)
    assert runner.counts.failed_captures == 1
    with pytest.raises(EngineError):
        gpu.upload(gpu.allocate(1), pageable)
