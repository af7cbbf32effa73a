"""The INT8 deploy graph: symmetric int8 as Q/DQ pairs in the graph, everything else in FP16.

Activations have one scale a tensor, weights one a channel; zero points are 0; biases stay in
floating point, because TensorRT rejects int32 ones. Weights are stored as int8, but at opset 17 as
the FP32 values of the same steps before a pair: TensorRT 8 takes no int8 constant ("invalid weights
type of Int8": github.com/megvii-research/Sparsebit/issues/16 and
github.com/microsoft/onnxruntime/issues/11535).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.half_core import to_half_core
from calibration.placement import place
from contract.calibrated_ranges import INT8_MAX
from contract.errors import GasedgeError
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from calibration.placement import Choice, Placement

__all__ = ["quantized_graph"]

_OPSET = 19  # the first whose QuantizeLinear takes FP16
_IR_VERSION = 9
_SMALLEST_SCALE = float(np.finfo(np.float16).tiny)


def quantized_graph(
    graph: bytes, largest: Mapping[str, float], choice: Choice | None = None, *, half: bool = True
) -> bytes:
    """Quantise an FP32 deploy graph.

    Args:
        graph: bytes of the FP32 deploy graph, opset 17.
        largest: largest magnitude to represent, for every tensor of `place(...).pairs`.
        choice: what of the placement is not as usual.
        half: True for opset 19 with FP16 around the pairs, False for opset 17 with FP32 around
            them, which TensorRT 8.5 reads and lowers by its own flag.

    Raises:
        GasedgeError: when a range is missing or not a positive number.
    """
    onnx = need("onnx", extra="export")
    model = onnx.load_model_from_string(graph)
    placement = place(model.graph, choice)
    scales = _activation_scales(placement, largest)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int8(0), "q_zero"))
    nodes: list[Any] = []
    waiting = dict(placement.pairs)
    quantised = set(placement.convolutions)
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0] in quantised:
            nodes += _weight_pair(onnx, model.graph, node, stored_as_int8=half)
        nodes.append(node)
        for tensor in node.output:
            if tensor in waiting:
                nodes += _pair(onnx, model.graph, tensor, scales[tensor], waiting.pop(tensor))
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    if half:
        model = onnx.version_converter.convert_version(model, _OPSET)
        model.ir_version = _IR_VERSION
        to_half_core(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _activation_scales(placement: Placement, largest: Mapping[str, float]) -> dict[str, float]:
    scales: dict[str, float] = {}
    for tensor in placement.pairs:
        amax = largest.get(placement.same_range.get(tensor, tensor))
        if amax is None or not np.isfinite(amax) or amax < 0:
            raise GasedgeError(f"activation {tensor} has no usable range ({amax}); calibrate anew")
        scales[tensor] = _as_half(amax / INT8_MAX)
    return scales


def _as_half(scale: float) -> float:
    """A scale that FP16 holds exactly, so that FP16 and FP32 graphs quantise alike."""
    return float(np.float16(max(scale, _SMALLEST_SCALE)))


def _pair(
    onnx: Any, graph: Any, tensor: str, scale: float, uses: tuple[tuple[str, int], ...]
) -> list[Any]:
    """Q and DQ nodes on `tensor`; the inputs named by `uses` are led to the DQ's output."""
    scale_name, quantised, value = f"{tensor}_scale", f"{tensor}_q", f"{tensor}_dq"
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(scale), scale_name))
    by_output = {node.output[0]: node for node in graph.node}
    for output, index in uses:
        by_output[output].input[index] = value
    return [
        onnx.helper.make_node(kind, [source, scale_name, "q_zero"], [result], name=result)
        for kind, source, result in (
            ("QuantizeLinear", tensor, quantised),
            ("DequantizeLinear", quantised, value),
        )
    ]


def _weight_pair(onnx: Any, graph: Any, conv: Any, *, stored_as_int8: bool) -> list[Any]:
    """Round a convolution's weight to int8 by output channel; its DQ node, and a Q where needed."""
    name = conv.input[1]
    index = next(i for i, tensor in enumerate(graph.initializer) if tensor.name == name)
    weight: NDArray[np.float32] = onnx.numpy_helper.to_array(graph.initializer[index])
    amax = np.abs(weight).max(axis=(1, 2, 3))
    scale = np.array([_as_half(each) for each in amax / INT8_MAX], np.float32)
    steps = np.clip(np.rint(weight / scale[:, None, None, None]), -INT8_MAX, INT8_MAX)
    del graph.initializer[index]
    quantised, scale_name, zero = f"{name}_int8", f"{name}_scale", f"{name}_zero"
    stored = {scale_name: scale, zero: np.zeros(len(scale), np.int8)}
    if stored_as_int8:
        stored[quantised] = steps.astype(np.int8)
    else:
        stored[name] = (steps * scale[:, None, None, None]).astype(np.float32)
    for key, values in stored.items():
        graph.initializer.append(onnx.numpy_helper.from_array(values, key))
    conv.input[1] = f"{name}_dq"
    pair = [
        onnx.helper.make_node(kind, [source, scale_name, zero], [result], name=result, axis=0)
        for kind, source, result in (
            ("QuantizeLinear", name, quantised),
            ("DequantizeLinear", quantised, conv.input[1]),
        )
    ]
    return pair[1:] if stored_as_int8 else pair
