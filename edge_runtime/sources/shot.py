"""A picture as a source gives it, with when it was taken where the source can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.pixels import CameraPicture

__all__ = ["Shot"]


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a source."""

    picture: CameraPicture
    taken_ns: int | None = None  # monotonic clock; None: nothing better than when it was decoded
