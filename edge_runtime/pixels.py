"""A camera's picture in the layout that it came in: BGR, grey, or the NV12 of camera chips.

A GPU turns any of them into the network's input by itself (`cuda/kernels/fit_picture.cu`), so what
comes as grey or NV12 stays so, and the CPU converts only what it looks at: a few samples of every
picture, and whole pictures for a person, a drill, a model on trial and drift. Numbers are those of
the BGR picture that `bgr_of` gives: NV12 is read as BT.601 of limited range, as OpenCV and FFmpeg
read it for the pictures that networks are trained on (ITU-R BT.601-7, 2.5.1; in 20 bits behind the
point).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from contract.errors import InputError
from contract.packages import need

__all__ = [
    "CameraPicture",
    "Layout",
    "NativePicture",
    "bgr_of",
    "bright_cells",
    "green_of",
    "layout_of",
    "pixels_of",
]

_SHIFT = 20
_BLACK, _NO_COLOUR = 16, 128
_LIGHT = 1220542  # 255 / 219
_BLUE_OF_U, _GREEN_OF_U, _GREEN_OF_V, _RED_OF_V = 2116026, -409993, -852492, 1673527


class Layout(IntEnum):
    """How a picture's bytes stand; the numbers are those of the kernel."""

    BGR = 0  # (h, w, 3)
    GREY = 1  # (h, w)
    NV12 = 2  # (h * 3 / 2, w): brightness, then pairs of colour for two by two pixels


@dataclass(frozen=True, slots=True, eq=False)
class NativePicture:
    """A picture that is not BGR.

    Raises:
        InputError: when the pixels are none of the layout.
    """

    pixels: NDArray[np.uint8]  # contiguous, as the layout says
    layout: Layout

    def __post_init__(self) -> None:
        given = self.pixels
        sane = given.dtype == np.uint8 and given.ndim == 2 and given.flags.c_contiguous
        nv12 = self.layout is Layout.NV12
        odd = nv12 and (given.shape[0] % 3 or given.shape[1] % 2)
        if self.layout is Layout.BGR or not sane or odd:
            raise InputError(
                f"picture of {given.dtype} {given.shape} is no {self.layout.name.lower()}; grey is "
                "(h, w) and NV12 (h * 3 / 2, w) with even sides, 8 bits each"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the BGR picture that it stands for."""
        rows, width = self.pixels.shape
        return (rows * 2 // 3 if self.layout is Layout.NV12 else rows), width, 3


CameraPicture = NDArray[np.uint8] | NativePicture
"""(h, w, 3) BGR, or another layout."""


def layout_of(picture: CameraPicture) -> Layout:
    """How its bytes stand."""
    return picture.layout if isinstance(picture, NativePicture) else Layout.BGR


def pixels_of(picture: CameraPicture) -> NDArray[np.uint8]:
    """Its bytes, in the shape of its layout."""
    return picture.pixels if isinstance(picture, NativePicture) else picture


def bgr_of(picture: CameraPicture) -> NDArray[np.uint8]:
    """The (h, w, 3) BGR picture; a BGR picture is given back as it is."""
    if not isinstance(picture, NativePicture):
        return picture
    cv2 = need("cv2", extra="cpu")
    nv12 = picture.layout is Layout.NV12
    code = cv2.COLOR_YUV2BGR_NV12 if nv12 else cv2.COLOR_GRAY2BGR
    return np.asarray(cv2.cvtColor(picture.pixels, code), np.uint8)


def green_of(picture: CameraPicture, rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Green of some rows and columns of the BGR picture, contiguous: exactly, at their cost alone.

    Args:
        picture: any layout.
        rows: within the picture, with any step.
        columns: as rows.
    """
    if not isinstance(picture, NativePicture):
        green: NDArray[np.uint8] = picture[rows, columns, 1].copy()
        return green
    if picture.layout is Layout.GREY:
        grey: NDArray[np.uint8] = picture.pixels[rows, columns].copy()
        return grey
    light, colour = _planes(picture)
    height, width = light.shape
    at = np.ix_(np.arange(height)[rows] // 2, np.arange(width)[columns] // 2)
    pairs = colour[at]
    return _bgr(light[rows, columns], pairs[..., 0], pairs[..., 1])[1]


def bright_cells(picture: CameraPicture, columns: int, rows: int) -> NDArray[np.float32]:
    """Blue, green and red of (rows, columns) points of the picture added up, 0..765 each.

    Of NV12 the points are taken before the colours are made of them, so they differ from those of
    BGR as colours do between neighbours: by two of 765 in the mean of a natural picture.
    """
    cv2 = need("cv2", extra="cpu")

    def points(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        how = cv2.INTER_LINEAR_EXACT
        return np.asarray(cv2.resize(plane, (columns, rows), interpolation=how), np.uint8)

    if layout_of(picture) is Layout.GREY:
        grey: NDArray[np.float32] = points(pixels_of(picture)).astype(np.float32)
        grey *= 3
        return grey
    if isinstance(picture, NativePicture):
        light, colour = _planes(picture)
        pairs = points(colour)
        channels = _bgr(points(light), pairs[..., 0], pairs[..., 1])
    else:
        small = points(picture)
        channels = small[..., 0], small[..., 1], small[..., 2]
    bright: NDArray[np.float32] = channels[0].astype(np.float32)
    bright += channels[1]
    bright += channels[2]
    return bright


def _planes(picture: NativePicture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Brightness (h, w) and colour (h / 2, w / 2, 2) of an NV12 picture."""
    height, width, _ = picture.shape
    colour = picture.pixels[height:].reshape(height // 2, width // 2, 2)
    return picture.pixels[:height], colour


def _bgr(
    light: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Blue, green and red of brightness and colour, as OpenCV and the kernel compute them."""
    y = np.maximum(light.astype(np.int32) - _BLACK, 0) * _LIGHT + (1 << (_SHIFT - 1))
    of_u, of_v = u.astype(np.int32) - _NO_COLOUR, v.astype(np.int32) - _NO_COLOUR
    blue = y + _BLUE_OF_U * of_u
    green = y + _GREEN_OF_U * of_u + _GREEN_OF_V * of_v
    red = y + _RED_OF_V * of_v
    return _level(blue), _level(green), _level(red)


def _level(value: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(value >> _SHIFT, 0, 255), np.uint8)
