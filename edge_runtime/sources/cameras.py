"""Pictures of cameras, whichever way they come: when each was taken, its grey range, its size."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import InputError
from contract.packages import need
from contract.pictures import bgr_from_any
from edge_runtime.pixels import CameraPicture, Layout, NativePicture, bgr_of
from edge_runtime.sources import genicam, jetson, video
from edge_runtime.sources.gstreamer import raw_pictures
from edge_runtime.sources.infrared_range import RangeMap
from edge_runtime.sources.shot import Shot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["camera_shots", "scaled"]

_BEHIND_S = 3.0  # a decoder that lags so far never catches up: it begins anew


def camera_shots(
    uri: SourceUri, note: Callable[[str], None], *, native: bool = False
) -> Iterator[Shot]:
    """Pictures of a camera, until it fails.

    Args:
        uri: the camera.
        note: told which way the pictures take.
        native: leave grey and NV12 pictures as they come; else all are BGR.

    Raises:
        InputError: when it cannot be opened, stops giving pictures or cannot be followed.
    """
    way, pictures = _way(uri, native=native)
    note(f"{uri}: {way}")
    counts = RangeMap(uri.options.get("range"))
    told = False
    for given, taken_ns in pictures:
        behind_s = (time.monotonic_ns() - taken_ns) / 1e9
        if behind_s > _BEHIND_S:
            raise InputError(
                f"{uri}: pictures come {behind_s:.1f} s late; this machine or the network cannot "
                "follow: lower the camera's size, rate or bit rate"
            )
        seen = given
        if not isinstance(seen, NativePicture):
            pixels = counts.grey(seen, taken_ns / 1e9)
            grey = native and pixels.ndim == 2 and pixels.dtype == np.uint8
            seen = (
                NativePicture(np.ascontiguousarray(pixels), Layout.GREY)
                if grey
                else bgr_from_any(pixels, where=str(uri))
            )
        picture = scaled(seen, uri.size)
        if not told and picture is not seen:
            told = True
            size = f"{seen.shape[1]}x{seen.shape[0]}"
            note(f"{uri}: gives {size}; scaled in software, stretched to the size asked for")
        yield Shot(picture, taken_ns)


def scaled(picture: CameraPicture, size: tuple[int, int] | None) -> CameraPicture:
    """The picture stretched to width and height, as a camera's hardware does it."""
    height, width = picture.shape[:2]
    if size is None or size == (width, height):
        return picture
    cv2 = need("cv2", extra="cpu")
    shrinks = size[0] < width or size[1] < height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(bgr_of(picture), size, interpolation=how), np.uint8)


def _way(
    uri: SourceUri, *, native: bool
) -> tuple[str, Iterator[tuple[NDArray[Any] | NativePicture, int]]]:
    """How the pictures come, in words, and the pictures."""
    where, software = str(uri), bool(uri.options.get("software"))
    if uri.scheme == "csi":
        elements = jetson.csi_pipeline(uri, native=native)
        return "scaled on the chip", raw_pictures(elements, where=where, native=native)
    if uri.scheme == "genicam":
        return (
            "through Aravis",
            raw_pictures(
                genicam.genicam_pipeline(uri),
                where=where,
                settings={"camera-name": uri.target},
                native=native,
            ),
        )
    if uri.scheme == "v4l2":
        if uri.size and "range" not in uri.options and not software and jetson.can_scale():
            return (
                "scaled on the chip",
                raw_pictures(
                    jetson.v4l2_pipeline(uri, native=native),
                    where=where,
                    settings={"device": uri.target},
                    native=native,
                ),
            )
        return "through OpenCV", video.usb_pictures(uri)
    if not software and jetson.can_decode():
        return (
            "decoded and scaled on the chip",
            raw_pictures(
                jetson.rtsp_pipeline(uri, native=native),
                where=where,
                settings={"location": uri.target},
                native=native,
            ),
        )
    return "decoded in software", video.stream_pictures(uri)
