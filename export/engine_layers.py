"""The layers of a finished engine, in one form for every TensorRT: what runs, in which type.

An engine is made of *kernels* that may each hold several nodes of the graph. A kernel that only
copies, casts or lays out anew is a *reformat*; one that only rescales to int8 is a *quantise* pass:
both cost a way through memory and compute nothing.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EngineLayer", "EngineReading", "kind_of_fused_name", "plain_type"]

BYTES = {"int8": 1, "uint8": 1, "bool": 1, "fp16": 2, "bf16": 2, "fp32": 4, "int32": 4, "int64": 8}

_WORDS = re.compile(r"[A-Z][a-z]+")
_FUSED = re.compile(r"^__myl_([A-Za-z]+)")
_MOVES = frozenset({"Cast", "Tran", "Move", "Resh", "Copy", "Repl"})
_QUANTISES = frozenset({"Mul", "Div", "Min", "Max", "Roun", "Cast"})


@dataclass(frozen=True, slots=True)
class EngineLayer:
    """One kernel of an engine."""

    name: str
    kind: str  # convolution, pooling, reformat, quantise or other
    precision: str  # of a convolution its operands', else its inputs'; "mixed" or "" when unknown
    inputs: tuple[str, ...]  # types of the tensors it reads, constants left out
    outputs: tuple[str, ...]  # types of the tensors it writes
    nodes: tuple[str, ...]  # of the ONNX graph
    weight_bytes: int | None  # constants that it reads, None when the engine does not say
    moved_bytes: int | None  # activations that it reads and writes for the built shape
    tactic: str  # the kernel's name where the engine tells it

    @property
    def fused(self) -> bool:
        """Whether it does the work of several nodes of the graph."""
        return len(self.nodes) > 1

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"fused": self.fused}


@dataclass(frozen=True, slots=True)
class EngineReading:
    """All that an engine says about itself."""

    layers: tuple[EngineLayer, ...]
    scratch_bytes: int | None  # device memory for activations, None when it does not say

    def of_kind(self, *kinds: str) -> tuple[EngineLayer, ...]:
        """The layers of these kinds, in their order."""
        return tuple(layer for layer in self.layers if layer.kind in kinds)


def kind_of_fused_name(name: str) -> str | None:
    """Kind of a kernel that the compiler named after its operations, None when it is no such name.

    `__myl_MulMinMaxRounCast_myl0_3` scales, clamps, rounds and casts: a quantise pass.
    """
    found = _FUSED.match(name)
    words = set(_WORDS.findall(found.group(1))) if found else set()
    if not words:
        return None
    if words <= _MOVES:
        return "reformat"
    return "quantise" if "Roun" in words and words <= _QUANTISES else "other"


def plain_type(said: str) -> str:
    """One name for a type that the generations call differently; "" when it is not known."""
    lower = said.lower()
    for name, marks in (
        ("uint8", ("uint8",)),
        ("int8", ("int8",)),
        ("bf16", ("bf16", "bfloat16")),
        ("fp16", ("half", "fp16", "float16")),
        ("int64", ("int64",)),
        ("int32", ("int32",)),
        ("bool", ("bool",)),
        ("fp32", ("float", "fp32")),
    ):
        if any(mark in lower for mark in marks):
            return name
    return ""
