"""Where Q/DQ pairs go, so that TensorRT fuses what stands between them.

* At the input of every convolution, directly: behind a Concat or a Resize, not before it. A pair
  before them leaves the convolution behind in floating point.
* On the shortcut of a residual addition and not on its other branch, whose convolution then takes
  addition and ReLU into its own kernel.
* At the input of a MaxPool that follows the stem: pooling commutes with quantisation.
* Also at the input of a nearest Resize, with the scale of the pair behind it. Copying commutes with
  quantisation, so no value changes, and a quarter of the pixels are quantised and moved: a CPU is
  12 % faster with it.
* Not between convolution and ReLU, not on biases.
* Not at the head, unless asked for: it is 0.2 % of the work and its rounding would stand in the
  mask.
* Not at the stem, unless asked for: it has three channels, which integer kernels do not like, and
  its input alone is signed. With it in int8 an engine of TensorRT for RTX 1.7 moves 5 % more bytes,
  and CPUs without VNNI saturate: 0.84 % of the pixels change in place of 0.31 %.
* Behind a Concat one scale serves both its inputs; "separate" gives each input a pair with a scale
  of its own before that, so that both may be kept in int8.

A convolution that stays in FP16 for accuracy takes its pairs with it: none at its input, on the
shortcut that it would be fused with, or at a pool that only it reads.

After NVIDIA's own placer (nvidia-modelopt 0.47) and the plans that TensorRT for RTX 1.7 builds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import GasedgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONCAT", "Choice", "Placement", "place"]

CONCAT = ("shared", "separate")


@dataclass(frozen=True, slots=True)
class Choice:
    """What of the placement may be chosen."""

    stem: bool = False  # in INT8
    head: bool = False  # in INT8
    concat: str = "shared"  # one of CONCAT
    fp16: frozenset[str] = frozenset()  # convolutions kept out of INT8, by their outputs


@dataclass(frozen=True, slots=True)
class Placement:
    """What is quantised; a node is named by its first output."""

    pairs: Mapping[str, tuple[tuple[str, int], ...]]  # tensor -> (node, index of its input)
    convolutions: tuple[str, ...]  # whose weights are int8
    left_out: Mapping[str, str]  # convolution in floating point -> "stem", "head" or "budget"
    same_range: Mapping[str, str]  # tensor -> the tensor whose range it takes
    order: tuple[str, ...]  # all convolutions, as in the graph


def place(graph: Any, choice: Choice | None = None) -> Placement:
    """Decide what is quantised in a deploy graph.

    Args:
        graph: onnx GraphProto, nodes in topological order, BatchNormalization folded.
        choice: None takes the defaults.

    Raises:
        GasedgeError: when the graph holds nothing to quantise.
    """
    choice = choice or Choice()
    weights = {tensor.name for tensor in graph.initializer}
    convolutions = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in weights]
    depth, reaches_conv = _conv_depths(graph), _reaches_convolution(graph)
    left_out = {
        n.output[0]: why
        for n in convolutions
        if (why := _kept_float(n, depth, reaches_conv, choice))
    }
    chosen = [n.output[0] for n in convolutions if n.output[0] not in left_out]
    if not chosen:
        raise GasedgeError(
            f"the graph has {len(convolutions)} convolutions with constant weights and none of "
            "them can be quantised; export the bundle anew"
        )
    pairs: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Conv" and node.output[0] in chosen:
            pairs[node.input[0]].append((node.output[0], 0))
        elif node.op_type == "Add" and not weights.intersection(node.input):
            first, second = (depth[name] for name in node.input)
            shortcut = int(first > second)
            fused = node.input[1 - shortcut] not in left_out
            if first != second and min(first, second) > 0 and fused:
                pairs[node.input[shortcut]].append((node.output[0], shortcut))
    if choice.concat == "separate":
        _pairs_before_concats(graph, depth, pairs)
    same_range = _pairs_before_pools(graph, depth, pairs)
    return Placement(
        pairs={tensor: tuple(uses) for tensor, uses in pairs.items()},
        convolutions=tuple(chosen),
        left_out=left_out,
        same_range=same_range,
        order=tuple(node.output[0] for node in convolutions),
    )


def _kept_float(node: Any, depth: Mapping[str, int], reaches: set[str], choice: Choice) -> str:
    """Why a convolution is not quantised; empty where it is."""
    if node.output[0] not in reaches and not choice.head:
        return "head"
    if depth[node.input[0]] == 0 and not choice.stem:
        return "stem"
    return "budget" if node.output[0] in choice.fp16 else ""


def _pairs_before_concats(
    graph: Any, depth: dict[str, int], pairs: dict[str, list[tuple[str, int]]]
) -> None:
    for node in graph.node:
        if node.op_type == "Concat" and node.output[0] in pairs:
            for index, name in enumerate(node.input):
                if depth[name] > 0:
                    pairs[name].append((node.output[0], index))


def _pairs_before_pools(
    graph: Any, depth: dict[str, int], pairs: dict[str, list[tuple[str, int]]]
) -> dict[str, str]:
    """Add the pairs and give pool -> the tensor whose range it takes."""
    same_range: dict[str, str] = {}
    for node in graph.node:
        # where nothing quantised reads the pool a pair would only cost
        if node.op_type == "MaxPool" and depth[node.input[0]] > 0 and node.output[0] in pairs:
            pairs[node.input[0]].append((node.output[0], 0))
            same_range[node.output[0]] = node.input[0]
    _pairs_before_resizes(graph, pairs, same_range)
    return same_range


def _pairs_before_resizes(
    graph: Any, pairs: dict[str, list[tuple[str, int]]], same_range: dict[str, str]
) -> None:
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    for node in graph.node:
        modes = [each.s for each in node.attribute if each.name == "mode"]
        source, behind = node.input[0], node.output[0]
        if node.op_type != "Resize" or modes not in ([], [b"nearest"]) or source in pairs:
            continue
        only = readers[behind][0] if len(readers[behind]) == 1 else None
        if behind not in pairs and only is not None and only.op_type == "Concat":
            behind = only.output[0]
        if behind in pairs and len(readers[source]) == 1:
            pairs[source].append((node.output[0], 0))
            same_range[source] = behind


def _conv_depths(graph: Any) -> dict[str, int]:
    """Most convolutions on any way from the graph's inputs to each tensor."""
    depth: dict[str, int] = defaultdict(int)
    for node in graph.node:
        deepest = max((depth[name] for name in node.input if name), default=0)
        for name in node.output:
            depth[name] = deepest + (node.op_type == "Conv")
    return depth


def _reaches_convolution(graph: Any) -> set[str]:
    """Tensors from which a convolution is reached."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Conv" or found.intersection(node.output):
            found.update(name for name in node.input if name)
    return found
