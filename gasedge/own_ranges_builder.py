"""The engine builder with a way to the GPU's memory, for TensorRT's own INT8 ranges.

The room that builds engines knows no CUDA, the room that knows CUDA builds none: they meet here, in
the process that `gasedge build-engine --own-ranges` starts.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Do the task on standard input."""
    from edge_runtime.cuda.frame_feed import GpuFrameFeed
    from export.builder_process import main as build

    build(GpuFrameFeed)
