"""Read what TensorRT's engine inspector tells as JSON; its keys differ by generation.

The engine must have been built with detailed profiling verbosity, as ours are.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from contract.errors import EngineError
from export.engine_layers import BYTES, EngineLayer, EngineReading, kind_of_fused_name, plain_type

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["reading_from_inspector"]

_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_TACTIC_TYPES = (("i8i8", "int8"), ("f16f16", "fp16"), ("f32f32", "fp32"))
_QUANTISING = ("QDQ", "Quantize", "Dequantize")


def reading_from_inspector(report: str, *, scratch_bytes: int | None = None) -> EngineReading:
    """Read what `EngineInspector.get_engine_information` gives as JSON.

    Args:
        report: of an engine that was built with detailed profiling verbosity.
        scratch_bytes: device memory that the engine asks for.

    Raises:
        EngineError: when the report does not describe layers.
    """
    try:
        layers = json.loads(report)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"the engine inspector's report cannot be read ({error})") from error
    described = [layer for layer in layers if isinstance(layer, dict)]
    if not described:
        raise EngineError("the engine inspector gives layer names only; build anew with gasedge")
    return EngineReading(tuple(map(_layer, described)), scratch_bytes)


def _layer(layer: Mapping[str, Any]) -> EngineLayer:
    kind = _kind(layer)
    inputs = tuple(map(_tensor_type, layer.get("Inputs") or ()))
    outputs = tuple(map(_tensor_type, layer.get("Outputs") or ()))
    sizes = [_nbytes(tensor) for side in ("Inputs", "Outputs") for tensor in layer.get(side) or ()]
    known = [size for size in sizes if size is not None]
    told = "mixed" if len(set(inputs)) > 1 else inputs[0] if inputs else ""
    return EngineLayer(
        name=str(layer.get("Name", "")),
        kind=kind,
        precision=_operand_type(layer) if kind == "convolution" else told,
        inputs=inputs,
        outputs=outputs,
        nodes=_nodes(layer),
        weight_bytes=_weight_bytes(layer),
        moved_bytes=sum(known) if known and len(known) == len(sizes) else None,
        tactic=str(layer.get("TacticName", "")),
    )


def _kind(layer: Mapping[str, Any]) -> str:
    if _convolves(layer):
        return "convolution"
    name, said = str(layer.get("Name", "")), str(layer.get("LayerType", ""))
    if said in _QUANTISING or (said == "Reformat" and layer.get("Origin") in _QUANTISING):
        return "quantise"
    if "reformat" in said.lower() or name.startswith("Reformatting CopyNode"):
        return "reformat"
    if "pooling" in said.lower():
        return "pooling"
    return kind_of_fused_name(name) or "other"


def _convolves(layer: Mapping[str, Any]) -> bool:
    if layer.get("ParameterType") in ("Convolution", "Deconvolution"):
        return True
    if "Conv" in str(layer.get("LayerType", "")):
        return True
    # Layers that the compiler fused carry the ONNX nodes in Metadata and a matrix tactic.
    tactic = str(layer.get("TacticName", "")).lower()
    return "conv" in str(layer.get("Metadata", "")).lower() and (
        "gemm" in tactic or "conv" in tactic or "fprop" in tactic
    )


def _operand_type(layer: Mapping[str, Any]) -> str:
    """Type of a layer's weights, else the one its tactic names, else that of its first input."""
    weights = layer.get("Weights")
    if isinstance(weights, dict) and "Type" in weights:
        return plain_type(str(weights["Type"]))
    tactic = str(layer.get("TacticName", "")).lower()
    for mark, kind in _TACTIC_TYPES:
        if mark in tactic:
            return kind
    inputs = layer.get("Inputs") or [{}]
    return _tensor_type(inputs[0])


def _tensor_type(tensor: Mapping[str, Any]) -> str:
    return plain_type(str(tensor.get("Format/Datatype") or tensor.get("DataType") or ""))


def _nbytes(tensor: Mapping[str, Any]) -> int | None:
    dims, kind = tensor.get("Dimensions"), _tensor_type(tensor)
    if not isinstance(dims, list) or not kind or any(not isinstance(d, int) or d < 0 for d in dims):
        return None
    return math.prod(dims) * BYTES[kind]


def _weight_bytes(layer: Mapping[str, Any]) -> int | None:
    weights = layer.get("Weights")
    kind = plain_type(str(weights.get("Type", ""))) if isinstance(weights, dict) else ""
    if not isinstance(weights, dict) or not kind:
        return None
    return int(weights.get("Count", 0)) * BYTES[kind]


def _nodes(layer: Mapping[str, Any]) -> tuple[str, ...]:
    """The graph's nodes: from the metadata, and before 8.6 from a name such as "conv1 + relu1"."""
    told = _NODE.findall(str(layer.get("Metadata") or ""))
    name = str(layer.get("Name", ""))
    return tuple(dict.fromkeys(told or ([] if name.startswith("__") else name.split(" + "))))
