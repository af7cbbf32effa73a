"""How many convolutions of an engine compute in what, and how many layers compute nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.engine_layers import EngineReading

__all__ = ["PlanStatistics", "statistics_of"]


@dataclass(frozen=True, slots=True)
class PlanStatistics:
    """Convolutions of an engine by what they multiply, and its layers that compute nothing."""

    int8: int  # int8 x int8
    fp16: int
    fp32: int
    other: int  # mixed or unknown operands
    reformats: int  # copies, casts and new layouts that are layers of their own
    quantise_passes: int  # rescaling to int8 that is a layer of its own
    layers: int  # all of the engine

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
        return (
            f"{self.convolutions} convolutions: {', '.join(parts) or 'none'}; {self.layers} layers"
            f", {self.reformats} of them only reformat, {self.quantise_passes} only quantise"
        )


def statistics_of(reading: EngineReading) -> PlanStatistics:
    """Count what an engine says about itself."""
    counts = dict.fromkeys(("int8", "fp16", "fp32", "other"), 0)
    for layer in reading.of_kind("convolution"):
        counts[layer.precision if layer.precision in counts else "other"] += 1
    return PlanStatistics(
        **counts,
        reformats=len(reading.of_kind("reformat")),
        quantise_passes=len(reading.of_kind("quantise")),
        layers=len(reading.layers),
    )
