"""Read an engine of TensorRT for RTX from its bytes: it carries its plan as text, no GPU needed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from contract.errors import EngineError
from export.engine_layers import BYTES, EngineLayer, EngineReading, kind_of_fused_name, plain_type

__all__ = ["reading_from_rtx_plan"]

_MAIN, _END = "main {", "\n}"
_TENSOR = re.compile(r"^\s*(?:sub_)?tensor=\{([^\n]*)\}\s*$", re.MULTILINE)
_OPERATION = re.compile(r'^  (\w+)=\{ name="?([^"\s]+)"?([^\n]*)', re.MULTILINE)
_QUOTED = re.compile(r'"([^"]*)"')
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_SCRATCH = re.compile(r"^\s*region = \{ ?name=devmem size=(\d+)", re.MULTILINE)
_CONVOLUTIONS = ("corrltn", "convolution")
_POOLINGS = ("maxpool", "avgpool", "pooling")
_MOVES = ("copy", "move", "transpose", "cast")
_NO_WORK = ("signal", "wait", "tensor")


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: str
    nbytes: int | None
    constant: bool


def reading_from_rtx_plan(engine: bytes) -> EngineReading:
    """Read the plan text inside an engine.

    Raises:
        EngineError: when the engine holds no such text.
    """
    text = engine.decode("latin-1")
    start = text.find(_MAIN)
    if start < 0:
        raise EngineError("this engine holds no readable plan; its layers cannot be told")
    end = text.find(_END, start)
    tensors = dict(_tensors(text[:start]))
    layers = tuple(
        _layer(kind, name, rest, tensors)
        for kind, name, rest in _OPERATION.findall(text[start:end])
        if kind not in _NO_WORK
    )
    scratch = _SCRATCH.search(text, 0, start)
    return EngineReading(layers, int(scratch.group(1)) if scratch else None)


def _tensors(text: str) -> list[tuple[str, _Tensor]]:
    found = []
    for line in _TENSOR.findall(text):
        name, kind = re.search(r' name="([^"]*)"', line), re.search(r" type=(\w+)", line)
        if name is None or kind is None:
            continue
        plain = plain_type(kind.group(1))
        dims = re.search(r" dims=\{ ?([^}]*)\}", line)
        sizes = dims.group(1).split() if dims else []
        nbytes = None
        if plain and all(size.isdigit() for size in sizes):
            nbytes = math.prod(map(int, sizes)) * BYTES[plain]
        found.append((name.group(1), _Tensor(plain, nbytes, "const_payload" in line)))
    return found


def _layer(kind: str, name: str, rest: str, tensors: dict[str, _Tensor]) -> EngineLayer:
    reads = [tensors.get(n, _Tensor("", None, constant=False)) for n in _operands(rest, "input")]
    writes = [tensors.get(n, _Tensor("", None, constant=False)) for n in _operands(rest, "output")]
    told = re.search(r' layers="([^"]*)"', rest)
    what = _kind(kind, name, rest)
    inputs = tuple(t.kind for t in reads if not t.constant)
    operands = [t.kind for t in reads[:2]] if what == "convolution" else list(inputs)
    return EngineLayer(
        name=name,
        kind=what,
        precision=operands[0] if len(set(operands)) == 1 else "mixed" if operands else "",
        inputs=inputs,
        outputs=tuple(t.kind for t in writes),
        nodes=tuple(dict.fromkeys(_NODE.findall(told.group(1)))) if told else (),
        weight_bytes=sum(t.nbytes or 0 for t in reads if t.constant),
        moved_bytes=_sum([t.nbytes for t in (*reads, *writes) if not t.constant]),
        tactic="",
    )


def _operands(rest: str, which: str) -> list[str]:
    found = re.search(rf" {which}(?:_args)?=\{{([^}}]*)\}}", rest)
    return _QUOTED.findall(found.group(1)) if found else []


def _kind(kind: str, name: str, rest: str) -> str:
    if kind in _CONVOLUTIONS or "backbone=conv" in rest:
        return "convolution"
    if kind in _POOLINGS:
        return "pooling"
    if kind in _MOVES:
        return "reformat"
    return kind_of_fused_name(name) or "other"


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
