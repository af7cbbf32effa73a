"""CUDA graphs: work that is put on the stream once, captured, and then started by one call.

pycuda has no graphs, so the driver is called by ctypes; `cuGraphInstantiateWithFlags` asks for
CUDA 11.4, JetPack 5's. What cannot be captured runs call by call: that is logged and counted.
"""

from __future__ import annotations

import ctypes
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from edge_runtime.cuda.driver import GpuContext

__all__ = ["GraphCounts", "GraphRunner"]

_KEPT = 16  # graphs kept: one per set of picture sizes that come together
_CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL in cuda.h

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class GraphCounts:
    """How often work ran in each way."""

    launched: int = 0  # as a graph
    warm_ups: int = 0  # call by call before its capture: TensorRT needs that
    eager: int = 0  # call by call because the capture had failed
    failed_captures: int = 0


class GraphRunner:
    """Runs work on a context's stream, as a graph from the second time on."""

    def __init__(self, gpu: GpuContext) -> None:
        self._gpu = gpu
        # The executable graph of a key, 0 after its warm-up, None where the capture failed.
        self._graphs: OrderedDict[Hashable, int | None] = OrderedDict()
        self.counts = GraphCounts()

    def run(self, key: Hashable, enqueue: Callable[[], None]) -> None:
        """Put work on the stream; the caller waits for it.

        Args:
            key: all that the work depends on: the same key makes the same calls and addresses.
            enqueue: puts the work on the stream, call by call.
        """
        with self._gpu.current("running a frame"):
            if key not in self._graphs:
                self._make_room()
                enqueue()
                self.counts.warm_ups += 1
                self._graphs[key] = 0
                return
            if self._graphs[key] == 0:
                self._graphs[key] = self._capture(enqueue)
            graph = self._graphs[key]
            self._graphs.move_to_end(key)
            if graph is None:
                enqueue()
                self.counts.eager += 1
            else:
                self._call("cuGraphLaunch", ctypes.c_void_p(graph), self._stream)
                self.counts.launched += 1

    def forget(self) -> None:
        """Drop every graph: an address that they hold is about to change."""
        with self._gpu.current("dropping graphs"):
            while self._graphs:
                self._destroy(self._graphs.popitem()[1])

    @property
    def _stream(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._gpu.stream_handle)

    def _make_room(self) -> None:
        while len(self._graphs) >= _KEPT:
            self._destroy(self._graphs.popitem(last=False)[1])

    def _capture(self, enqueue: Callable[[], None]) -> int | None:
        """The executable graph of the work, or None when it cannot be captured."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._gpu.capturing = True
        try:
            mode = ctypes.c_int(_CAPTURE_THREAD_LOCAL)
            self._call("cuStreamBeginCapture_v2", self._stream, mode)
            try:
                enqueue()
            except BaseException:
                # The stream must leave the capture whatever happened inside.
                _libcuda().cuStreamEndCapture(self._stream, ctypes.byref(graph))
                raise
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            flags = ctypes.c_ulonglong(0)
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, flags)
        except EngineError as error:
            self._gpu.capturing = False
            self._gpu.wait()  # a DeviceError when the context is lost
            self.counts.failed_captures += 1
            _log.warning("this work cannot be captured, it runs call by call from now: %s", error)
            return None
        finally:
            self._gpu.capturing = False
            if graph:
                _libcuda().cuGraphDestroy(graph)
        return executable.value

    def _destroy(self, graph: int | None) -> None:
        if graph and (status := _libcuda().cuGraphExecDestroy(ctypes.c_void_p(graph))):
            _log.warning("freeing a CUDA graph failed with CUDA error %d", status)

    def _call(self, function: str, *arguments: object) -> None:
        if status := getattr(_libcuda(), function)(*arguments):
            raise self._gpu.error("CUDA graph", f"{function} failed with CUDA error {status}")


def _libcuda() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")
