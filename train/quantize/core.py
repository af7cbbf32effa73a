"""A network's core with fake quantisation where a plan says, sharing the core's own parameters.

The core is traced as the exporter traces it, so its nodes bear the names of the deploy graph. What
is learned is learned by the core's parameters themselves: it is saved, exported and calibrated as
any other. BatchNorm stands still, as it does on the device.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from contract.errors import ConfigError
from train.quantize.rounding import fake_quantized, fake_quantized_convolution

if TYPE_CHECKING:
    from contract.geometry import InputGeometry
    from train.networks.frame_network import FrameNetwork
    from train.quantize.plan import QuantizationPlan

__all__ = ["INT8_SCALES", "fake_quantized_core", "require_same_weights"]

INT8_SCALES = "int8_scales"
# of aten.conv2d: input, weight, bias, stride, padding, dilation, groups
_DEFAULTS: tuple[Any, ...] = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
_CLOSE = 1e-3  # of the largest weight, between a checkpoint and the graph exported from it


def fake_quantized_core(
    network: FrameNetwork, geometry: InputGeometry, plan: QuantizationPlan
) -> nn.Module:
    """Make the core that learns; `network.core` may be put back in its place at any time.

    Args:
        network: its core's parameters are shared, not copied.
        geometry: of the frames.
        plan: of a bundle that was exported from a network of this kind.

    Raises:
        ConfigError: when the plan is of another network.
    """
    traced = _traced(network.core, geometry)
    nodes = {node.name: node for node in traced.graph.nodes}
    wanted = {*plan.scales, *plan.reads, *plan.convolutions}
    if absent := sorted(wanted - nodes.keys()):
        raise ConfigError(
            f"the bundle quantises {absent[0]}, which this network lacks; give the bundle that was "
            "exported from it"
        )
    scales = nn.Module()
    traced.add_module(INT8_SCALES, scales)
    for tensor, scale in plan.scales.items():
        scales.register_buffer(tensor, torch.tensor(scale, dtype=torch.float32))
    rounded: dict[str, fx.Node] = {}
    for tensor in plan.scales:
        source = nodes[tensor]
        with traced.graph.inserting_after(source):
            step = traced.graph.get_attr(f"{INT8_SCALES}.{tensor}")
        with traced.graph.inserting_after(step):
            rounded[tensor] = traced.graph.call_function(fake_quantized, (source, step))
    for name, taken in plan.reads.items():
        reader = _computing(nodes[name])
        for tensor in taken:
            reader.replace_input_with(nodes[tensor], rounded[tensor])
    for name, weight in plan.convolutions.items():
        _quantize_convolution(traced.graph, nodes[name], weight)
    traced.graph.eliminate_dead_code()
    traced.graph.lint()
    traced.recompile()
    return traced


def require_same_weights(network: FrameNetwork, plan: QuantizationPlan) -> None:
    """See that ranges and weights belong together.

    Raises:
        ConfigError: when the plan is of a bundle that was exported from other weights.
    """
    own = {name: value.detach() for name, value in network.core.named_parameters()}
    for name, folded in plan.weights.items():
        theirs, mine = torch.from_numpy(folded.copy()), own.get(name)
        if mine is None or mine.shape != theirs.shape:
            raise ConfigError(
                f"the bundle's network has a weight {name} that this one lacks; give the bundle "
                "that was exported from it"
            )
        # a folded BatchNorm has scaled each channel by a factor of its own
        theirs, mine = (each.flatten(1) for each in (theirs, mine))
        factor = (theirs * mine).sum(1) / mine.square().sum(1).clamp(min=1e-30)
        off = (theirs - mine * factor[:, None]).abs().amax()
        if off > _CLOSE * theirs.abs().amax():
            raise ConfigError(
                f"the bundle was not exported from the weights that this training begins with: "
                f"{name} differs; export these weights and calibrate them first"
            )


def _traced(core: nn.Module, geometry: InputGeometry) -> fx.GraphModule:
    """The core as a functional graph over its own parameters."""
    was_training = core.training
    core.eval()
    try:
        pixels = torch.zeros(1, 3, geometry.height, geometry.width)
        with torch.no_grad():
            program = torch.export.export(core, (pixels,)).run_decompositions({})
    finally:
        core.train(was_training)
    signature = program.graph_signature
    places = signature.inputs_to_parameters | signature.inputs_to_buffers
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        if node.op == "output":
            (given,) = node.args[0]
            graph.output(copies[given])
        elif node.name in places:
            copies[node] = graph.get_attr(places[node.name])
        else:
            copies[node] = graph.node_copy(node, lambda old: copies[old])
    return fx.GraphModule(core, graph)


def _computing(node: fx.Node) -> fx.Node:
    """The node that reads what `node` is named for: a folded convolution bears its norm's name."""
    if node.target is operator.getitem:
        norm = node.args[0]
        return norm.args[0]  # type: ignore[union-attr,return-value]
    return node


def _quantize_convolution(graph: fx.Graph, node: fx.Node, weight: str) -> None:
    """Put a convolution with rounded weights in the place of `node` and what it folds."""
    convolution = _computing(node)
    found = convolution.args[1]
    if not isinstance(found, fx.Node) or found.target != weight:
        raise ConfigError(
            f"the bundle's {node.name} uses {weight}, this network's another weight; give the "
            "bundle that was exported from it"
        )
    norm: tuple[Any, ...] | None = None
    if convolution is not node:
        gain, shift, mean, variance, _, epsilon = node.args[0].args[1:]  # type: ignore[union-attr]
        norm = (gain, shift, mean, variance, epsilon)
    given = (*convolution.args, *_DEFAULTS[len(convolution.args) :])
    with graph.inserting_before(node):
        replaced = graph.call_function(fake_quantized_convolution, (*given[:3], norm, *given[3:]))
    node.replace_all_uses_with(replaced)
