"""What FP16 can hold: a value beyond 65504 becomes infinite there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HALF_MAX", "beyond_half"]

HALF_MAX = float(np.finfo(np.float16).max)
_NAMED = 3


def beyond_half(largest: Mapping[str, float]) -> str:
    """Say which activations FP16 cannot hold; empty where it holds them all.

    Args:
        largest: magnitude that each activation reached; NaN is held by nothing.
    """
    beyond = {name: value for name, value in largest.items() if not value <= HALF_MAX}
    if not beyond:
        return ""
    named = ", ".join(f"{name} {value:.3g}" for name, value in list(beyond.items())[:_NAMED])
    return (
        f"{len(beyond)} of {len(largest)} activations leave the range of FP16, which ends at "
        f"{HALF_MAX:.0f} ({named})"
    )
