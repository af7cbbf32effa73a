"""Run in a process of its own: the instruction set must be capped before OpenVINO is imported.

    int8_masks.py BUNDLE SEED OUT.npz

Writes the INT8 masks of every CPU runtime, and those of OpenVINO without the remedy at load, beside
those of the graph run node by node.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from contract.bundle import Bundle, opset17_graph_name
from contract.precision import Precision
from edge_runtime.backends import openvino_int8
from edge_runtime.backends.onnxruntime_cpu import OnnxRuntimeSegmenter
from edge_runtime.backends.open import open_backend
from tests.calibration.taught import scenes

if __name__ == "__main__":
    bundle, seed, out = Bundle.open(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    frames, found = scenes(16, seed=seed)[0], {}
    with open_backend(bundle, Precision.FP32, backend="onnxruntime") as segmenter:
        found["fp32"] = segmenter.segment(frames).mask
    for name in ("model.int8.onnx", opset17_graph_name(Precision.INT8)):
        with OnnxRuntimeSegmenter(
            bundle.read(name),
            geometry=bundle.manifest.input,
            precision=Precision.INT8,
            optimise=False,
        ) as reference:
            found[name] = reference.segment(frames).mask
    for backend in ("onnxruntime", "openvino"):
        with open_backend(bundle, Precision.INT8, backend=backend) as segmenter:
            found[backend] = segmenter.segment(frames).mask
    openvino_int8.rewrite_activations = lambda _: 1
    with open_backend(bundle, Precision.INT8, backend="openvino") as segmenter:
        found["without the remedy"] = segmenter.segment(frames).mask
    np.savez(out, **found)
