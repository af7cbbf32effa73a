"""The calibration card: from which frames the INT8 graph came, how, and how well it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.precision import Precision
from contract.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.frames import FrameFacts

__all__ = ["RANGES", "Agreement", "Card", "FrameHash", "Mix", "mix_of"]

RANGES = "calibration/ranges.json"
_Forbid = ConfigDict(frozen=True, extra="forbid")


class FrameHash(BaseModel):
    """One picture by name and by the SHA-256 of its shape and decoded pixels."""

    model_config = _Forbid

    name: str
    sha256: str


class Mix(BaseModel):
    """What the frames show; a set of one kind of light or without gas gives one-sided ranges."""

    model_config = _Forbid

    frames: int
    with_gas: int  # frames in which the FP32 network sees gas or smoke
    gas_share: float  # of all pixels, by the FP32 network
    grey: int  # frames whose channels are alike, as an infrared camera's are
    brightness: tuple[float, float, float]  # darkest, median, brightest mean grey level, 0..255


class Agreement(BaseModel):
    """Share of pixels in which two ways of running the network differ."""

    model_config = _Forbid

    of: str
    against: str
    mean: float
    worst: float
    frames: int


class Card(BaseModel):
    """`calibration/card.json`."""

    model_config = _Forbid

    schema_version: int = 1
    model_id: str
    made_at: str  # ISO 8601, UTC
    machine: str
    tools: dict[str, str]
    fp32_sha256: str
    int8_sha256: str
    method: str
    seed: int  # which frames were drawn when the folder held more than were asked for
    frames: tuple[FrameHash, ...]  # in the order they ran
    mix: Mix
    ranges: str = RANGES
    convolutions_int8: int
    convolutions_float: tuple[str, ...]
    control: tuple[FrameHash, ...]
    max_iou_drop: float  # the budget for gas-smoke IoU, FP32 minus INT8
    iou_drop: float
    scores: dict[Precision, Scores]  # on the control set
    agreement: tuple[Agreement, ...]


def mix_of(frames: Sequence[FrameFacts], gas_shares: Sequence[float]) -> Mix:
    """Sum up the frames; `gas_shares` are the FP32 network's, in the same order."""
    brightness = [frame.brightness for frame in frames]
    return Mix(
        frames=len(frames),
        with_gas=sum(share > 0 for share in gas_shares),
        gas_share=float(np.mean(gas_shares)),
        grey=sum(frame.grey for frame in frames),
        brightness=(min(brightness), float(np.median(brightness)), max(brightness)),
    )
