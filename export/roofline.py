"""The least time that a graph can take on a module: its arithmetic and its memory traffic.

For each layer the longer of both counts, and layers follow each other (the roofline of Williams,
Waterman and Patterson, CACM 52(4), 2009). A convolution takes in the activation behind it, and an
Add but for reading its second operand; what is concatenated is written in its place at once; Resize
and pooling move their tensors. It is a floor: launches, copies, reformats and kernels that miss the
peak come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.errors import ConfigError, InputError
from contract.packages import need
from contract.precision import Precision

if TYPE_CHECKING:
    from typing import Any

    from export.jetson_modules import JetsonModule

__all__ = ["LATENCY_FACTOR", "LayerWork", "Plan", "layers_of", "plan_of"]

LATENCY_FACTOR = 3.0
"""Planning latency over the floor: see docs/jetson.md for the published figures behind it."""

_SHARE = 0.7  # of the GPU's time that is planned with; the rest is for bursts and other work

_BYTES = {Precision.INT8: 1, Precision.FP16: 2, Precision.FP32: 4}
_MOVES = {"Resize", "MaxPool", "AveragePool"}


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What one layer computes and moves for one frame."""

    name: str
    macs: int  # multiplications with an addition
    elements: int  # of tensors read and written, weights included
    io_bytes: int  # read or written as bytes whatever the precision: frames, mask, score


@dataclass(frozen=True, slots=True)
class Plan:
    """A planning estimate for one network on one module; never a measurement."""

    module: str
    precision: Precision
    width: int
    height: int
    gmacs: float
    moved_mb: float
    floor_ms: float
    bound_by_memory: float  # share of the floor in layers that wait for memory, 0..1
    planning_ms: float
    cameras: int  # at the frame rate asked for

    @property
    def frames_per_s(self) -> float:
        """Frames a second of all cameras together, planned."""
        return _SHARE * 1000 / self.planning_ms


def layers_of(graph: bytes, width: int, height: int) -> list[LayerWork]:
    """Work of every layer of an FP32 deploy graph for one frame of another size.

    Args:
        graph: bytes of the ONNX file; its convolutions set the work.
        width: of the frame, pixels.
        height: of the frame, pixels.

    Raises:
        ConfigError: when the graph cannot be laid out for that size.
        InputError: when it is no ONNX file.
        MissingPackageError: without onnx.
    """
    onnx = need("onnx", extra="export")
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:
        raise InputError("the graph is not an ONNX file") from error
    shapes = _shapes(onnx, model, width, height)
    layers = [_layer(node, shapes) for node in model.graph.node]
    ends = [*model.graph.input, *model.graph.output]
    moved = sum(math.prod(shapes[value.name]) for value in ends)
    return [*(layer for layer in layers if layer), LayerWork("frames, mask, score", 0, 0, moved)]


def plan_of(
    graph: bytes,
    module: JetsonModule,
    precision: Precision,
    *,
    width: int,
    height: int,
    camera_fps: float,
) -> Plan:
    """Plan for a graph on a module.

    Args:
        graph: bytes of the FP32 ONNX file.
        module: its roof.
        precision: INT8 or FP16.
        width: of the network's input, pixels.
        height: of the network's input, pixels.
        camera_fps: frames a second that each camera is looked at.

    Raises:
        ConfigError: for FP32 or a size that the graph cannot be laid out for.
        InputError: when the graph is no ONNX file.
    """
    layers = layers_of(graph, width, height)
    pace = module.operations_per_s(precision)
    floor_s = memory_s = 0.0
    moved = 0
    for layer in layers:
        nbytes = layer.elements * _BYTES[precision] + layer.io_bytes
        compute, memory = 2 * layer.macs / pace, nbytes / (module.bandwidth_gb_s * 1e9)
        floor_s += max(compute, memory)
        memory_s += memory if memory > compute else 0.0
        moved += nbytes
    planning_ms = 1000 * floor_s * LATENCY_FACTOR
    return Plan(
        module=module.name,
        precision=precision,
        width=width,
        height=height,
        gmacs=sum(layer.macs for layer in layers) / 1e9,
        moved_mb=moved / 1e6,
        floor_ms=1000 * floor_s,
        bound_by_memory=memory_s / floor_s,
        planning_ms=planning_ms,
        cameras=int(_SHARE * 1000 / planning_ms / camera_fps),
    )


def _shapes(onnx: Any, model: Any, width: int, height: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor for one frame of width x height."""
    frames = model.graph.input[0].type.tensor_type.shape
    for dimension, size in zip(frames.dim, (1, height, width, 3), strict=True):
        dimension.dim_value = size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise ConfigError(
            f"this network cannot be laid out for {width}x{height}; each side must divide by 32"
        ) from error
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    shapes |= {weights.name: tuple(weights.dims) for weights in model.graph.initializer}
    if unknown := [name for name, shape in shapes.items() if 0 in shape]:
        raise ConfigError(f"the size of {unknown[0]} in this graph cannot be told")
    return shapes


def _layer(node: Any, shapes: dict[str, tuple[int, ...]]) -> LayerWork | None:
    """Work of a node; None for what a kernel before or behind it takes in."""

    def elements(*names: str) -> int:
        return sum(math.prod(shapes[name]) for name in names)

    if node.op_type == "Conv":
        weights = shapes[node.input[1]]
        macs = math.prod(shapes[node.output[0]]) * math.prod(weights[1:])
        return LayerWork(node.name, macs, elements(*node.input[:2], *node.output), 0)
    if node.op_type == "Add":
        return LayerWork(node.name, 0, elements(node.input[1]), 0)
    if node.op_type in _MOVES:
        return LayerWork(node.name, 0, elements(node.input[0], node.output[0]), 0)
    return None
