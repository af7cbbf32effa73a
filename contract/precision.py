"""The precisions that a bundle can hold a graph of and an engine can be built in."""

from __future__ import annotations

from enum import Enum

__all__ = ["Precision"]


class Precision(str, Enum):
    """Precision of a deploy graph; INT8 means Q/DQ with FP16 around it."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"

    def __str__(self) -> str:
        return self.value
