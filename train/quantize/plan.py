"""What the INT8 graph of a bundle quantises, read from the graph itself.

Calibration decides where pairs stand and how large their steps are; fine-tuning only follows, so it
reads the finished graph, which the bundle carries, and knows no rule of placement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import InputError
from contract.packages import need
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from contract.bundle import Bundle

__all__ = ["QuantizationPlan", "plan_of"]

_PREFIX = "network.core."  # of a core's tensor in the deploy graph


@dataclass(frozen=True, slots=True)
class QuantizationPlan:
    """Tensors and nodes are named as in the FP32 deploy graph; a node by its output."""

    scales: Mapping[str, float]  # by activation: a step of int8
    reads: Mapping[str, tuple[str, ...]]  # node -> the activations that it takes quantised
    convolutions: Mapping[str, str]  # in int8 -> name of its weight in the core
    weights: Mapping[str, NDArray[np.float32]]  # of the FP32 graph by name in the core, folded


def plan_of(bundle: Bundle) -> QuantizationPlan:
    """Read a calibrated bundle.

    Raises:
        ConfigError: when the bundle holds no INT8 graph.
        InputError: when it is not one that `gasedge calibrate` writes.
    """
    onnx = need("onnx", extra="export")
    fp32 = onnx.load_model_from_string(bundle.graph(Precision.FP32)).graph
    int8 = onnx.load_model_from_string(bundle.graph(Precision.INT8)).graph
    read = _Reading(onnx, int8)
    scales: dict[str, float] = {}
    reads: dict[str, tuple[str, ...]] = {}
    for node in int8.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Cast"):
            continue
        taken = dict(filter(None, (read.pair_before(name) for name in node.input)))
        scales |= taken
        if taken:
            reads[node.output[0]] = tuple(taken)
    weights = {
        node.output[0]: node.input[1]
        for node in fp32.node
        if node.op_type == "Conv" and node.input[1].startswith(_PREFIX)
    }
    quantised = {
        node.output[0]
        for node in int8.node
        if node.op_type == "Conv" and read.maker(node.input[1]) == "DequantizeLinear"
    }
    if not scales or not quantised or not quantised <= weights.keys():
        raise InputError(
            f"{bundle.path}: its INT8 graph is not one of gasedge calibrate; calibrate it anew"
        )
    values = {tensor.name: tensor for tensor in fp32.initializer}
    return QuantizationPlan(
        scales=scales,
        reads=reads,
        convolutions={node: weights[node].removeprefix(_PREFIX) for node in sorted(quantised)},
        weights={
            weights[node].removeprefix(_PREFIX): onnx.numpy_helper.to_array(values[weights[node]])
            for node in sorted(quantised)
        },
    )


class _Reading:
    """An INT8 graph by the names of its tensors."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx = onnx
        self._made_by = {name: node for node in graph.node for name in node.output}
        self._values = {tensor.name: tensor for tensor in graph.initializer}

    def maker(self, tensor: str) -> str:
        """Kind of the node that makes a tensor; empty where none does."""
        return self._made_by[tensor].op_type if tensor in self._made_by else ""

    def pair_before(self, tensor: str) -> tuple[str, float] | None:
        """The activation and scale of the pair that a tensor comes out of."""
        if self.maker(self._before_casts(tensor)) != "DequantizeLinear":
            return None
        stored = self._made_by[self._before_casts(tensor)].input[0]
        if self.maker(stored) != "QuantizeLinear":
            return None  # a weight
        pair = self._made_by[stored]
        if pair.input[0] in self._values:
            return None  # a weight of an opset-17 graph
        scale = self._onnx.numpy_helper.to_array(self._values[pair.input[1]])
        return self._before_casts(pair.input[0]), float(scale)

    def _before_casts(self, tensor: str) -> str:
        while self.maker(tensor) == "Cast":
            tensor = self._made_by[tensor].input[0]
        return tensor
