"""How a camera picture of any size is laid into the network's fixed input, and back.

Numbers only: `contract.pictures` moves the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fit", "FrameFit", "InputGeometry"]

STRIDE = 32  # five halvings in a ResNet encoder


class Fit(str, Enum):
    """LETTERBOX keeps the aspect ratio and pads with black, STRETCH fills the input."""

    LETTERBOX = "letterbox"
    STRETCH = "stretch"


class InputGeometry(BaseModel):
    """The network's input: uint8 BGR, height x width, and how pictures are fitted into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=STRIDE, le=4096, multiple_of=STRIDE)
    height: int = Field(ge=STRIDE, le=4096, multiple_of=STRIDE)
    fit: Fit = Fit.LETTERBOX

    def of(self, picture_width: int, picture_height: int) -> FrameFit:
        """Place a picture of the given size, in pixels, into this input."""
        if self.fit is Fit.STRETCH:
            return FrameFit(picture_width, picture_height, 0, 0, self.width, self.height)
        scale = min(self.width / picture_width, self.height / picture_height)
        width = max(1, min(self.width, round(picture_width * scale)))
        height = max(1, min(self.height, round(picture_height * scale)))
        left, top = (self.width - width) // 2, (self.height - height) // 2
        return FrameFit(picture_width, picture_height, left, top, width, height)


@dataclass(frozen=True, slots=True)
class FrameFit:
    """Where one picture lies in the network's input; everything in pixels."""

    picture_width: int
    picture_height: int
    left: int  # of the picture inside the input
    top: int
    width: int  # of the picture inside the input: the valid field
    height: int

    @property
    def valid(self) -> tuple[slice, slice]:
        """Rows and columns of the input that hold picture and not padding."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Turn a point of the input into picture pixels."""
        return (
            (x - self.left) * self.picture_width / self.width,
            (y - self.top) * self.picture_height / self.height,
        )
