"""`calibration/ranges.json`: what each activation of the FP32 network carries on real frames.

The INT8 graph, the cache for older TensorRT, fine-tuning and the report all take it from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import InputError

if TYPE_CHECKING:
    from contract.bundle import Bundle

__all__ = ["CALIBRATION_CACHE", "INT8_MAX", "RANGES", "RangeTable", "TensorRanges", "ranges_of"]

INT8_MAX = 127  # steps from 0 to the largest magnitude; symmetric, so -128 is hardly used
RANGES = "calibration/ranges.json"
CALIBRATION_CACHE = "calibration/model.int8.cache"  # the same as scales, for TensorRT up to 10
_Forbid = ConfigDict(frozen=True, extra="forbid")


class TensorRanges(BaseModel):
    """Magnitudes of one activation over all calibration frames."""

    model_config = _Forbid

    chosen: float  # largest magnitude that INT8 represents; the scale is this / INT8_MAX
    largest: dict[str, float]  # by method
    edge: float  # upper edge of the histogram, which begins at 0
    counts: tuple[int, ...]  # values by magnitude, in bins of equal width


class RangeTable(BaseModel):
    """All activations of one calibration, by the name of their tensor in the FP32 graph."""

    model_config = _Forbid

    schema_version: int = 2
    method: str  # that `chosen` is of
    tensors: dict[str, TensorRanges]


def ranges_of(bundle: Bundle) -> RangeTable:
    """Read a bundle's ranges.

    Raises:
        IntegrityError: when the bundle holds none or they were changed.
        InputError: when they are of an older gasedge.
    """
    try:
        return RangeTable.model_validate_json(bundle.read(RANGES))
    except ValidationError as error:
        raise InputError(
            f"{bundle.path}: its {RANGES} cannot be read ({error.errors()[0]['msg']}); an older "
            "gasedge may have written it: calibrate the bundle anew"
        ) from error
