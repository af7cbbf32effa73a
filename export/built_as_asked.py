"""Precision asked is precision built, convolution by convolution, or the engine is refused.

What is asked stands in the parsed network: a convolution between Q/DQ pairs is asked for in INT8,
any other in the type of its tensors. What was built stands in the finished engine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import CheckError
from contract.precision import Precision
from export.engine_layers import plain_type
from export.plan_statistics import statistics_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.engine_layers import EngineLayer, EngineReading

__all__ = [
    "AskedConvolution",
    "asked_from_network",
    "default_max_reformats",
    "require_as_asked",
    "require_few_reformats",
]

_FEW_CHANNELS = 4  # INT8 kernels multiply four channels at a time (dp4a)
_NAMED = 4  # layers that a message names


@dataclass(frozen=True, slots=True)
class AskedConvolution:
    """One convolution of the graph and what it is to compute in."""

    name: str
    precision: str  # "int8", "fp16" or "fp32"
    inputs: int  # channels
    outputs: int
    whole_pair: bool  # of an INT8 one: both its input and its weights are dequantised

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def asked_from_network(trt: Any, network: Any) -> list[AskedConvolution]:
    """The convolutions of a parsed network, in its order."""
    kinds = trt.LayerType
    layers = [network.get_layer(n) for n in range(network.num_layers)]
    dequantised = {layer.get_output(0).name for layer in layers if layer.type == kinds.DEQUANTIZE}
    found = []
    for layer in layers:
        if layer.type not in (kinds.CONVOLUTION, kinds.DECONVOLUTION):
            continue
        frames, result = layer.get_input(0), layer.get_output(0)
        weights = layer.get_input(1) if layer.num_inputs > 1 else None
        pairs = [
            frames.name in dequantised,
            weights is not None and weights.name in dequantised,
        ]
        found.append(
            AskedConvolution(
                name=layer.name,
                precision="int8" if any(pairs) else plain_type(str(frames.dtype)),
                inputs=int(tuple(frames.shape)[1]),
                outputs=int(tuple(result.shape)[1]),
                whole_pair=all(pairs),
            )
        )
    return found


def require_as_asked(
    reading: EngineReading,
    asked: Sequence[AskedConvolution],
    precision: Precision,
    *,
    weakly_typed: bool,
) -> None:
    """Refuse an engine in which a convolution computes in another precision than was asked.

    Where typing is weak (TensorRT 8.x) only INT8 is held to the letter: there the builder may take
    FP32 for a layer that is faster so, and FP16 must be found at all.

    Raises:
        CheckError: naming the convolutions, what they run in, and the likely cause.
    """
    statistics = statistics_of(reading)
    wanted = [each for each in asked if each.precision == "int8" or not weakly_typed]
    if precision is Precision.INT8 and not any(each.precision == "int8" for each in asked):
        raise CheckError(
            f"asked for int8 but the graph has no Q/DQ pair at any convolution ({statistics}): "
            "make it with gasedge calibrate, or accept less with --fp16"
        )
    if weakly_typed and precision is not Precision.INT8 and not statistics.as_dict()[precision]:
        raise CheckError(
            f"asked for {precision} but the engine has no {precision} convolution ({statistics}): "
            "this GPU or TensorRT does not serve it; --unverified keeps the engine all the same"
        )
    faults, lost = [], []
    built = {node: layer for layer in reading.of_kind("convolution") for node in layer.nodes}
    for each in wanted:
        layer = built.get(each.name)
        if layer is None:
            lost.append(each)
        elif layer.precision != each.precision:
            faults.append(f"{each.name} runs in {_said(layer)} ({_cause(each, layer)})")
    if lost and _short_of(statistics.as_dict(), wanted):
        faults += [f"{each.name} cannot be found in the engine" for each in lost]
    if faults:
        raise CheckError(
            f"asked for {precision} but {len(faults)} of {len(wanted)} convolutions are not built "
            f"as the graph asks ({statistics}): {_listed(faults)}; "
            + ("accept less with --fp16, or " if precision is Precision.INT8 else "")
            + "keep the engine all the same with --unverified"
        )


def default_max_reformats(asked: Sequence[AskedConvolution]) -> int:
    """Layers without work that an engine may have: one for two convolutions, and eight at least.

    A U-Net with ResNet-18 has 31 convolutions; engines that were slower at INT8 than at FP16 were
    reported with 70 reformats (TensorRT issue 4039). At their edges engines need a few.
    """
    return max(8, len(asked) // 2)


def require_few_reformats(reading: EngineReading, most: int) -> None:
    """Refuse an engine that spends its time on copying, casting and rescaling.

    Raises:
        CheckError: naming the first of these layers, and why they are likely there.
    """
    idle = reading.of_kind("reformat", "quantise")
    if len(idle) <= most:
        return
    named = [f"{layer.name} ({_way(layer)}: {_why_reformatted(layer)})" for layer in idle]
    raise CheckError(
        f"the engine has {len(idle)} layers that only copy, cast or rescale, {most} may be: "
        f"{_listed(named)}; each is a way through memory that makes INT8 slower than FP16: "
        "quantise what lies between, or allow it with --max-reformats"
    )


def _short_of(counts: dict[str, int], wanted: Sequence[AskedConvolution]) -> bool:
    """Whether some precision has fewer convolutions in the engine than were asked for."""
    asked = [each.precision for each in wanted]
    return any(counts.get(kind, 0) < asked.count(kind) for kind in set(asked))


def _said(layer: EngineLayer) -> str:
    return layer.precision.upper() if layer.precision else "an unknown type"


def _cause(each: AskedConvolution, layer: EngineLayer) -> str:
    channels = f"{each.inputs} -> {each.outputs} channels"
    if each.precision != "int8":
        return f"{channels}; this GPU or TensorRT has no {each.precision} kernel for it"
    if not each.whole_pair:
        return "only one of its input and its weights has a Q/DQ pair: calibrate anew"
    if min(each.inputs, each.outputs) < _FEW_CHANNELS:
        return f"{channels} are too few for an INT8 kernel: leave it in FP16 when calibrating"
    if layer.inputs and layer.inputs[0] != "int8":
        return f"{channels}; its Q/DQ pair was not fused: something stands between pair and layer"
    return f"{channels}; this GPU or TensorRT has no INT8 kernel for it"


def _way(layer: EngineLayer) -> str:
    return f"{'/'.join(layer.inputs) or '?'} -> {'/'.join(layer.outputs) or '?'}"


def _why_reformatted(layer: EngineLayer) -> str:
    if layer.kind == "quantise":
        return "what gives its input writes no INT8 itself, so the Q/DQ pair stayed alone"
    types = {*layer.inputs, *layer.outputs}
    if "int8" in types and len(types) > 1:
        return "a layer between INT8 layers is not quantised"
    if len(types) > 1:
        return "the types of the layers beside it differ"
    return "the layers beside it want different layouts"


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
