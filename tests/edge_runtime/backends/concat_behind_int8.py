"""Run in a process of its own: the instruction set must be capped before OpenVINO is imported.

Prints JSON: the error of Concat -> Q(int8, zero point 0) -> DQ -> Conv on OpenVINO against ONNX
Runtime node by node, as rms over the output's standard deviation, as read and as rewritten.
"""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.backends.openvino_int8 import rewrite_activations

CHANNELS, SIZE = 32, 8


def graph(sources: int, *, relu: bool, half: bool) -> tuple[bytes, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    shape = (1, CHANNELS, SIZE, SIZE)
    inputs = {f"x{n}": random.normal(0, 1, shape).astype(np.float32) for n in range(sources)}
    kind = np.float16 if half else np.float32
    steps = random.normal(0, 40, (16, CHANNELS * sources, 3, 3)).round().clip(-127, 127)
    tensors = {
        "scale": kind(4 / 127),
        "zero": np.int8(0),
        "w": steps.astype(np.int8),
        "w_scale": np.full(16, 0.001, kind),
        "w_zero": np.zeros(16, np.int8),
    }
    nodes, branches = [], []
    for name in inputs:
        nodes.append(
            helper.make_node(
                "Cast", [name], [f"{name}c"], to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            )
        )
        nodes.append(helper.make_node("Relu" if relu else "Identity", [f"{name}c"], [f"{name}r"]))
        branches.append(f"{name}r")
    nodes += [
        helper.make_node("Concat", branches, ["cat"], axis=1),
        helper.make_node("QuantizeLinear", ["cat", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], axis=0),
        helper.make_node("Conv", ["dq", "w_dq"], ["y_kind"], pads=[1] * 4),
        helper.make_node("Cast", ["y_kind"], ["y"], to=TensorProto.FLOAT),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in inputs],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 16, SIZE, SIZE))],
            [numpy_helper.from_array(np.asarray(v), name) for name, v in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", 19)],
        ir_version=9,
    )
    return model.SerializeToString(), inputs


def reference(data: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options).run(None, inputs)[0]


def on_openvino(data: bytes, inputs: dict[str, np.ndarray], *, rewritten: bool) -> np.ndarray:
    core = openvino.Core()
    model = core.read_model(io.BytesIO(data))
    if rewritten and rewrite_activations(model) != 1:
        sys.exit("not rewritten")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(inputs)[0]


if __name__ == "__main__":
    found = []
    for sources in (1, 2):
        for relu in (True, False):
            for half in (True, False):
                data, inputs = graph(sources, relu=relu, half=half)
                right = reference(data, inputs)
                error = {
                    how: float((on_openvino(data, inputs, rewritten=rewritten) - right).std())
                    / float(right.std())
                    for how, rewritten in (("as_read", False), ("rewritten", True))
                }
                found.append({"sources": sources, "relu": relu, "half": half, **error})
    json.dump(found, sys.stdout)
