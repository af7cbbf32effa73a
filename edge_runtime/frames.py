"""One picture of one camera, with when it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.pixels import CameraPicture

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured picture; the array belongs to the frame and is not written to."""

    camera: str
    seq: int  # frames captured from this camera since start, from 1
    captured_ns: int  # UTC, ns since 1970, when it was taken, as far as its source can tell
    monotonic_ns: int  # the same instant on the machine's monotonic clock
    picture: CameraPicture
