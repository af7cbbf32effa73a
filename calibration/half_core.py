"""Put everything between the first and the last convolution of a graph into FP16.

Normalisation before and the score after stay in FP32, as in the exported FP16 graph. Scales of
Q/DQ pairs inside become FP16 too: TensorRT 11 takes the type around a pair from its scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import CheckError
from contract.half_range import HALF_MAX, beyond_half
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["require_half_range", "to_half_core"]

_FLOAT_INPUTS = {"Resize": {1, 2}}  # roi and scales are FP32 whatever the data


def to_half_core(model: Any) -> None:
    """Change an FP32 onnx ModelProto in place; every node keeps its name and outputs."""
    onnx = need("onnx", extra="export")
    graph = model.graph
    inside = _inside(graph)
    made_inside = {name for node in graph.node if node.output[0] in inside for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    known = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    floats = {
        value.name
        for value in (*known.value_info, *known.input)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    nodes: list[Any] = []
    casts: set[str] = set()

    def cast(name: str, to: int, suffix: str) -> str:
        if (made := name + suffix) not in casts:
            casts.add(made)
            nodes.append(onnx.helper.make_node("Cast", [name], [made], name=made, to=to))
        return made

    for node in graph.node:
        is_inside = node.output[0] in inside
        for index, name in enumerate(node.input):
            if is_inside and name in tensors:
                if index not in _FLOAT_INPUTS.get(node.op_type, ()):
                    _to_half(onnx, tensors[name])
            elif is_inside and name in floats and name not in made_inside:
                node.input[index] = cast(name, onnx.TensorProto.FLOAT16, "_half")
            elif not is_inside and name in made_inside and name in floats:
                node.input[index] = cast(name, onnx.TensorProto.FLOAT, "_float")
        nodes.append(node)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    del graph.value_info[:]


def require_half_range(largest: Mapping[str, float]) -> None:
    """Refuse activations that FP16 cannot hold, around and between the pairs.

    Args:
        largest: magnitude that each activation reached on the calibration frames.

    Raises:
        CheckError: naming them.
    """
    if beyond := beyond_half(largest):
        raise CheckError(
            f"on the calibration frames {beyond}: FP16 and INT8 would compute infinities there; "
            "train the network anew. The bundle is unchanged"
        )


def _inside(graph: Any) -> set[str]:
    """First outputs of the nodes that lie on a way from a convolution, or weights, to another."""
    after: set[str] = set()
    for node in graph.node:
        if node.op_type in ("Conv", "QuantizeLinear") or after.intersection(node.input):
            after.update(node.output)
    before: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Conv" or before.intersection(node.output):
            before.update((*node.input, *node.output))
    weights = {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] not in after
    }
    return {n.output[0] for n in graph.node if n.output[0] in after & before} | weights


def _to_half(onnx: Any, tensor: Any) -> None:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return
    values = onnx.numpy_helper.to_array(tensor).clip(-HALF_MAX, HALF_MAX).astype(np.float16)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
