"""The calibration cache of TensorRT up to 10: a scale for every tensor, beside the Q/DQ graph.

TensorRT <= 10 can quantise the FP32 graph by itself from such a cache, and its DLA takes INT8 no
other way. The scales are those of the Q/DQ graph. TensorRT keeps a convolution out of INT8 when
any tensor that it takes or gives has no scale, so those between two pairs get one too:

* what only a ReLU, a nearest Resize, a MaxPool or a Concat reads takes the scale of what that
  gives: the integers stay the same, or are clipped where the ReLU clips;
* the rest, such as the convolution branch of a residual addition, takes its own measured range.

The stem's input and the head's output get none, so both stay in floating point as in the graph.

Format: `TRT-<version>-EntropyCalibration2`, then a line `<tensor>: <8 hex digits>` each, the
big-endian IEEE 754 single of the scale. TensorRT recalibrates when the version is not its own.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration.placement import place
from contract.calibrated_ranges import INT8_MAX
from contract.errors import GasedgeError, InputError
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CalibrationCache", "cache_from_graphs", "read_cache", "watched_for_cache"]

_VERSION = 8502  # of JetPack 5.1, the oldest that is served
_HEADER = re.compile(r"TRT-(\d{4,6})-(\w+)")
_LINE = re.compile(r"(.+): ([0-9a-f]{8})")
_KEEPS_VALUES = ("Relu", "MaxPool", "Concat", "Resize")
_PASSES_ON = (*_KEEPS_VALUES, "Add")


@dataclass(frozen=True, slots=True)
class CalibrationCache:
    """What a cache says."""

    version: int  # of TensorRT: 8601 is 8.6.1, 100300 is 10.3.0
    algorithm: str
    scales: Mapping[str, float]  # by tensor; a step of int8

    def as_text(self) -> bytes:
        """The file's bytes.

        Raises:
            GasedgeError: when a tensor's name or scale cannot stand in a cache.
        """
        lines = [f"TRT-{self.version}-{self.algorithm}"]
        for name, scale in self.scales.items():
            if not name.isprintable() or ": " in name or not 0 < scale < float("inf"):
                raise GasedgeError(
                    f"tensor {name!r} with scale {scale} cannot stand in a calibration cache; "
                    "export the bundle anew"
                )
            lines.append(f"{name}: {struct.pack('!f', scale).hex()}")
        return ("\n".join(lines) + "\n").encode()


def read_cache(text: bytes) -> CalibrationCache:
    """Read a cache, ours or TensorRT's own.

    Raises:
        InputError: when it is none.
    """
    try:
        first, *lines = text.decode().splitlines()
    except ValueError as error:  # nothing in it, or no text
        raise InputError("this is no calibration cache: it has no first line of text") from error
    header = _HEADER.fullmatch(first.strip())
    if header is None:
        raise InputError(f"this is no calibration cache: it begins with {first[:40]!r}, not TRT-")
    scales: dict[str, float] = {}
    for number, line in enumerate(lines, 2):
        found = _LINE.fullmatch(line.rstrip())
        if found is None:
            raise InputError(f"line {number} of the calibration cache is {line[:60]!r}")
        (scales[found[1]],) = struct.unpack("!f", bytes.fromhex(found[2]))
    return CalibrationCache(int(header[1]), header[2], scales)


def watched_for_cache(graph: bytes) -> set[str]:
    """Activations whose range only the cache needs; `graph` is the FP32 deploy graph."""
    nodes = need("onnx", extra="export").load_model_from_string(graph).graph
    placement = place(nodes)
    sources = _sources(nodes, set(placement.pairs), set(placement.convolutions))
    return set(sources.values()) - set(placement.pairs)


def cache_from_graphs(fp32: bytes, int8: bytes, ranges: Mapping[str, float]) -> bytes:
    """The cache that makes TensorRT quantise `fp32` as `int8` is.

    Args:
        fp32: bytes of the FP32 deploy graph, which the cache is for.
        int8: bytes of the Q/DQ graph made of it.
        ranges: largest magnitude to represent, by tensor, for those that have no pair.
    """
    onnx = need("onnx", extra="export")
    graph = onnx.load_model_from_string(fp32).graph
    scales, convolutions = _pairs_of(onnx, onnx.load_model_from_string(int8).graph)
    for tensor, source in _sources(graph, set(scales), convolutions).items():
        if source in scales:
            scales[tensor] = scales[source]
        elif ranges.get(source, 0) > 0:
            scales[tensor] = ranges[source] / INT8_MAX
    ordered = {t: scales[t] for node in graph.node for t in node.output if t in scales}
    return CalibrationCache(_VERSION, "EntropyCalibration2", ordered).as_text()


def _pairs_of(onnx: Any, graph: Any) -> tuple[dict[str, float], set[str]]:
    """Scales by quantised activation, and convolutions with int8 weights by output."""
    made_by = {name: node for node in graph.node for name in node.output}
    values = {tensor.name: tensor for tensor in graph.initializer}
    scales: dict[str, float] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            tensor = node.input[0]
            while tensor in made_by and made_by[tensor].op_type == "Cast":
                tensor = made_by[tensor].input[0]
            scales[tensor] = float(onnx.numpy_helper.to_array(values[node.input[1]]))
    convolutions = {
        node.output[0]
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] not in values
    }
    return scales, convolutions


def _sources(graph: Any, pairs: set[str], convolutions: set[str]) -> dict[str, str]:
    """Each tensor without a pair that int8 values pass, and the tensor whose scale it takes."""
    crossed: set[str] = set()
    for node in graph.node:
        carries = node.op_type in _PASSES_ON and (crossed | pairs).intersection(node.input)
        if carries or node.output[0] in convolutions:
            crossed.add(node.output[0])
    readers: dict[str, list[Any]] = defaultdict(list)
    found: dict[str, str] = {}
    for node in reversed(graph.node):
        tensor = node.output[0]
        if tensor in crossed - pairs:
            found[tensor] = tensor
            if len(readers[tensor]) == 1 and _keeps_values(reader := readers[tensor][0]):
                found[tensor] = found.get(reader.output[0], reader.output[0])
        for name in node.input:
            readers[name].append(node)
    return found


def _keeps_values(node: Any) -> bool:
    if node.op_type == "Resize":
        modes = [each.s for each in node.attribute if each.name == "mode"]
        return modes in ([], [b"nearest"])
    return node.op_type in _KEEPS_VALUES
