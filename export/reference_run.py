"""Run a deploy graph as it is written: ONNX Runtime on the CPU with no optimisation at all.

This is the reference that other backends are held against; speed does not matter here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from contract.segmenter import Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["run_reference"]

_BATCH = 2  # small in memory, and not the one frame that the graph was traced with


def run_reference(graph: bytes, frames: NDArray[np.uint8]) -> Segmentation:
    """Masks and scores of a deploy graph.

    Args:
        graph: the ONNX file's bytes.
        frames: (N, H, W, 3) uint8 BGR.
    """
    ort = need("onnxruntime", extra="export")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(["mask", "score"], {"frames": frames[start : start + _BATCH]})
        for start in range(0, len(frames), _BATCH)
    ]
    mask, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Segmentation(mask, score)
