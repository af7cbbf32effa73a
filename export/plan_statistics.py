"""What an engine really computes in: its convolutions counted by the type of their operands.

A builder flag or a Q/DQ node is a wish; the finished engine says what came of it. Two sources:

* TensorRT for RTX writes its plan as readable text into the engine, so no GPU is needed;
* TensorRT's engine inspector, which needs the GPU, gives JSON whose keys differ by generation.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import CheckError, EngineError
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PlanStatistics",
    "require_precision",
    "statistics_from_inspector",
    "statistics_from_rtx_plan",
]

_RTX_CONVOLUTIONS = ("corrltn", "convolution")
_TENSOR = re.compile(r'^\s*tensor=\{[^\n]*? name="([^"]*)"[^\n]* type=(\w+) \}', re.MULTILINE)
_OPERATION = re.compile(
    r'^  (\w+)=\{ name="[^"]*" output=\{([^}]*)\} input=\{([^}]*)\}', re.MULTILINE
)
_MAIN = "main {"
_NAME = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class PlanStatistics:
    """Convolutions of an engine by what they multiply."""

    int8: int  # int8 x int8
    fp16: int
    fp32: int
    other: int  # mixed or unknown operands

    @property
    def convolutions(self) -> int:
        """All of them."""
        return self.int8 + self.fp16 + self.fp32 + self.other

    def as_dict(self) -> dict[str, int]:
        """The counts as JSON can hold them."""
        return asdict(self)

    def __str__(self) -> str:
        counts = ((self.int8, "INT8"), (self.fp16, "FP16"), (self.fp32, "FP32"))
        parts = [f"{count} {name}" for count, name in (*counts, (self.other, "other")) if count]
        return f"{self.convolutions} convolutions: {', '.join(parts) or 'none'}"


def statistics_from_rtx_plan(engine: bytes) -> PlanStatistics:
    """Read the plan text inside an engine of TensorRT for RTX.

    Raises:
        EngineError: when the engine holds no such text.
    """
    text = engine.decode("latin-1")
    start = text.find(_MAIN)
    if start < 0:
        raise EngineError("this engine holds no readable plan; its convolutions cannot be counted")
    types = dict(_TENSOR.findall(text))
    operands = []
    for kind, _, inputs in _OPERATION.findall(text, start):
        if kind in _RTX_CONVOLUTIONS:
            names = _NAME.findall(inputs)
            operands.append(tuple(types.get(name, "") for name in names[:2]))
    return _counted(operands)


def statistics_from_inspector(report: str) -> PlanStatistics:
    """Read what `EngineInspector.get_engine_information` gives as JSON.

    Args:
        report: of an engine that was built with detailed profiling verbosity.

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
    return _counted((kind, kind) for kind in map(_layer_type, filter(_convolves, described)))


def require_precision(statistics: PlanStatistics, precision: Precision) -> None:
    """Refuse an engine that does not compute in the precision that was asked for.

    Raises:
        CheckError: saying what it computes in.
    """
    found = {
        Precision.INT8: statistics.int8,
        Precision.FP16: statistics.fp16,
        Precision.FP32: statistics.fp32,
    }[precision]
    if found == 0:
        raise CheckError(
            f"asked for {precision} but the engine has no {precision} convolution "
            f"({statistics}); this GPU or TensorRT does not serve it: "
            + (
                "accept less with --fp16"
                if precision is Precision.INT8
                else "--unverified keeps the engine all the same"
            )
        )


def _counted(operands: Iterable[tuple[str, ...]]) -> PlanStatistics:
    names = {"int8": "int8", "half": "fp16", "fp16": "fp16", "float": "fp32", "fp32": "fp32"}
    counts = dict.fromkeys(("int8", "fp16", "fp32", "other"), 0)
    for types in operands:
        kinds = {names.get(kind, "other") for kind in types}
        counts[kinds.pop() if len(kinds) == 1 else "other"] += 1
    return PlanStatistics(**counts)


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


def _layer_type(layer: Mapping[str, Any]) -> str:
    """Type of a layer's weights, else the one its tactic names, else that of its first input."""
    weights = layer.get("Weights")
    if isinstance(weights, dict) and "Type" in weights:
        return str(weights["Type"]).lower()
    tactic = str(layer.get("TacticName", "")).lower()
    for mark, kind in (("i8i8", "int8"), ("f16f16", "half"), ("f32f32", "float")):
        if mark in tactic:
            return kind
    inputs = layer.get("Inputs") or [{}]
    said = str(inputs[0].get("Format/Datatype") or inputs[0].get("DataType") or "").lower()
    return next((k for k in ("int8", "half", "fp16", "float", "fp32") if k in said), "")
