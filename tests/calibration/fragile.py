"""Make a network fragile without changing what it computes: one channel of one layer runs wild."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from contract.bundle import Bundle, graph_name
from contract.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

_WILD = 400.0


def make_fragile(path: Path, at: int) -> str:
    """Multiply a channel between two convolutions, and divide the weights that read it.

    ReLU stands between the two, so nothing else changes; but the range of that tensor grows by
    as much, and in INT8 its other channels are all rounded to nothing.

    Args:
        path: a bundle, changed in place.
        at: which of the pairs of convolutions with only a ReLU between them.

    Returns:
        The convolution that suffers, by its output in the FP32 graph.
    """
    bundle = Bundle.open(path)
    changed, suffers = {}, ""
    for precision in (Precision.FP32, Precision.FP16):
        model = onnx.load_model_from_string(bundle.graph(precision))
        first, second = _pairs(model.graph)[at]
        _scale(model.graph, first.input[1], (0,), _WILD)
        _scale(model.graph, first.input[2], (0,), _WILD)
        _scale(model.graph, second.input[1], (slice(None), 0), 1 / _WILD)
        changed[graph_name(precision)] = model.SerializeToString(deterministic=True)
        suffers = suffers or second.output[0]
    bundle.updated(changed)
    return suffers


def _pairs(graph):
    readers = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    pairs = []
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        after = readers.get(node.output[0], [])
        if [each.op_type for each in after] == ["Relu"]:
            last = readers.get(after[0].output[0], [])
            if [each.op_type for each in last] == ["Conv"]:
                pairs.append((node, last[0]))
    return pairs


def _scale(graph, name, where, factor):
    index = next(i for i, tensor in enumerate(graph.initializer) if tensor.name == name)
    values = np.array(numpy_helper.to_array(graph.initializer[index]))
    values[where] = (values[where].astype(np.float32) * factor).astype(values.dtype)
    graph.initializer[index].CopyFrom(numpy_helper.from_array(values, name))
