"""A camera's way through the frames process, and pictures that are being segmented."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.tags import HealthCode

if TYPE_CHECKING:
    from contract.segmenter import Run
    from edge_runtime.camera_state import CameraState, ModelFacts
    from edge_runtime.config import CameraConfig
    from edge_runtime.frames import Frame
    from edge_runtime.latest import LatestFrame
    from edge_runtime.model import RunningModel
    from edge_runtime.sources.reader import CameraReader

__all__ = ["Flight", "Line"]


@dataclass(slots=True)
class Line:
    """One camera: its reader, its slot and its state."""

    camera: CameraConfig
    slot: LatestFrame
    reader: CameraReader
    state: CameraState
    every: bool
    publishing: threading.Lock = field(default_factory=threading.Lock)
    taken: int = 0  # number of the last picture that was taken from the slot
    before: ModelFacts | None = None  # of the last mask, until there is one of the new model
    code: HealthCode = HealthCode.STARTING  # as last published


@dataclass(frozen=True, slots=True)
class Flight:
    """Frames that are being segmented together; none of them for a golden frame."""

    frames: list[tuple[Line, Frame]]
    run: Run
    model: RunningModel
    since_s: float = field(default_factory=time.monotonic)
