"""What INT8 does inside the network: noise layer by layer, and what each range cuts off.

The reference runs both graphs node by node on the same pictures. The noise of a layer's output
holds all that came before it; the noise of a range is what its own rounding and clipping add to
the values of FP32, nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from calibration.ranges import TensorRange
from contract.calibrated_ranges import INT8_MAX
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["LayerNoise", "RangeUse", "inside_int8"]

_STEPS = (-INT8_MAX - 1, INT8_MAX)  # what an int8 holds


@dataclass(slots=True)
class _Noise:
    """Power of a signal and of its error, summed over all values seen."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, right: NDArray[np.float32], found: NDArray[np.float32]) -> None:
        self.signal += float(np.square(right, dtype=np.float64).sum())
        self.error += float(np.square(right - found, dtype=np.float64).sum())

    @property
    def decibel(self) -> float | None:
        """Signal to noise; infinite where nothing differs, None where there is no signal."""
        if not self.signal:
            return None
        return 10 * math.log10(self.signal / self.error) if self.error else math.inf


@dataclass(slots=True)
class LayerNoise:
    """One convolution's output in INT8 against FP32."""

    name: str  # of its weights, shortened
    output: str  # tensor
    input: str  # tensor, before its Q/DQ pair
    int8: bool
    noise: _Noise = field(default_factory=_Noise)


@dataclass(slots=True)
class RangeUse:
    """How the values of FP32 lie in one activation's INT8 range."""

    tensor: str
    clip: float  # largest magnitude that INT8 holds
    feeds: tuple[str, ...]  # layers
    values: TensorRange = field(default_factory=TensorRange)
    noise: _Noise = field(default_factory=_Noise)
    clipped: int = 0
    total: int = 0

    @property
    def clipped_share(self) -> float:
        """Share of the values that lie outside the range."""
        return self.clipped / max(1, self.total)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in one picture's values."""
        scale = self.clip / _STEPS[1]
        held = np.clip(np.rint(values / scale), *_STEPS).astype(np.float32) * np.float32(scale)
        self.noise.add(values, held)
        self.clipped += int(np.count_nonzero(np.abs(values) > self.clip + scale / 2))
        self.total += values.size
        self.values.add(values)


def inside_int8(
    fp32: bytes, int8: bytes, frames: Iterable[NDArray[np.uint8]], *, n_frames: int
) -> tuple[list[LayerNoise], list[RangeUse]]:
    """Run both graphs on the frames and measure every convolution and every activation range.

    Args:
        fp32: bytes of the FP32 deploy graph.
        int8: bytes of the INT8 deploy graph made from it.
        frames: fitted (H, W, 3) BGR, one at a time.
        n_frames: how many there are, for the progress bar.

    Returns:
        Layers and ranges, both in the network's order.
    """
    onnx = need("onnx", extra="export")
    right, quantised = (onnx.load_model_from_string(each) for each in (fp32, int8))
    layers = _layers(right.graph, quantised.graph)
    known = {name for node in right.graph.node for name in node.output}
    ranges = _ranges(onnx, quantised.graph, layers, known)
    outputs = [each.output for each in layers]
    inputs = [each.tensor for each in ranges]
    of_fp32 = _session(onnx, right, dict.fromkeys([*outputs, *inputs]))
    of_int8 = _session(onnx, quantised, dict.fromkeys(outputs))
    for frame in tqdm(frames, total=n_frames, desc="noise by layer", unit="frame", delay=2):
        fed = {"frames": frame[None]}
        truth = dict(zip(of_fp32[1], of_fp32[0].run(of_fp32[1], fed), strict=True))
        found = dict(zip(of_int8[1], of_int8[0].run(of_int8[1], fed), strict=True))
        for layer in layers:
            layer.noise.add(truth[layer.output], found[layer.output].astype(np.float32))
        for each in ranges:
            each.add(truth[each.tensor])
    return layers, ranges


def _layers(fp32: Any, int8: Any) -> list[LayerNoise]:
    makers = {name: node for node in int8.node for name in node.output}
    convolutions = {node.output[0]: node for node in int8.node if node.op_type == "Conv"}
    found = []
    for node in fp32.node:
        same = convolutions.get(node.output[0]) if node.op_type == "Conv" else None
        if same is None:
            continue
        weight = makers.get(same.input[1])
        is_int8 = weight is not None and weight.op_type == "DequantizeLinear"
        name = node.input[1].removeprefix("network.core.").removesuffix(".weight")
        found.append(LayerNoise(name, node.output[0], node.input[0], is_int8))
    return found


def _ranges(onnx: Any, int8: Any, layers: list[LayerNoise], known: set[str]) -> list[RangeUse]:
    """One for each activation that the INT8 graph quantises and FP32 has too."""
    tensors = {each.name: each for each in int8.initializer}
    found: dict[str, RangeUse] = {}
    for node in int8.node:
        source = node.input[0]
        if node.op_type != "QuantizeLinear" or source not in known or source in found:
            continue
        scale = float(onnx.numpy_helper.to_array(tensors[node.input[1]]))
        feeds = tuple(each.name for each in layers if each.input == source and each.int8)
        found[source] = RangeUse(source, scale * _STEPS[1], feeds)
    return list(found.values())


def _session(onnx: Any, model: Any, wanted: Mapping[str, None]) -> tuple[Any, list[str]]:
    runtime = need("onnxruntime", extra="export")
    present = {value.name for value in model.graph.output}
    for name in wanted:
        if name not in present:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # Node by node: its optimiser would merge away what is to be looked at.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, list(wanted)
