"""Pipelines for GigE Vision and USB3 Vision cameras, through Aravis and its GStreamer element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.errors import InputError
from edge_runtime.sources.gstreamer import has_elements

if TYPE_CHECKING:
    from edge_runtime.sources.uri import SourceUri

__all__ = ["genicam_pipeline"]

_BUFFERS = 4  # the element would queue fifty pictures
_EIGHT_BITS = "{GRAY8,BGR,YUY2,UYVY}"
_BAYER = "{bggr,gbrg,grbg,rggb}"


def genicam_pipeline(uri: SourceUri) -> list[str]:
    """Elements that give a camera's pictures; its name or address is a setting of `camera`.

    With a range of counts 16 bits a pixel are asked for, otherwise 8. The camera's own region of
    interest stays as it is set.

    Raises:
        InputError: when Aravis is not installed.
    """
    if not has_elements("aravissrc"):
        raise InputError(
            f"{uri}: GenICam cameras need Aravis; apt-get install libaravis-0.8-0 "
            "gstreamer1.0-plugins-base"
        )
    rate = f",framerate={round(uri.fps * 1000)}/1000" if uri.fps else ""
    formats = (
        f"video/x-raw,format=GRAY16_LE{rate}"
        if "range" in uri.options
        else f"video/x-raw,format={_EIGHT_BITS}{rate};video/x-bayer,format={_BAYER}{rate}"
    )
    return [f"aravissrc name=camera num-arv-buffers={_BUFFERS} auto-packet-size=true", formats]
