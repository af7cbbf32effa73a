"""Pipelines that decode, scale and change colours in a Jetson's own engines, before the copy.

nvvidconv leaves the camera's memory and its colour format on the chip; nvv4l2decoder, which
decodebin prefers where it is installed, decodes there (NVIDIA's Accelerated GStreamer guide).
They have run with ordinary elements in the place of NVIDIA's, on a Jetson not yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.sources.gstreamer import has_elements

if TYPE_CHECKING:
    from edge_runtime.sources.uri import SourceUri

__all__ = ["ON_CHIP", "can_decode", "can_scale", "csi_pipeline", "rtsp_pipeline", "v4l2_pipeline"]

ON_CHIP = "nvvidconv"
_CSI_SIZE, _CSI_FPS = (1280, 720), 30.0
_LATENCY_MS = 100  # what rtspsrc waits for packets that are late


def can_scale() -> bool:
    """Whether this machine scales pictures in hardware."""
    return has_elements(ON_CHIP)


def can_decode() -> bool:
    """Whether this machine decodes and scales a stream in hardware."""
    return has_elements("nvv4l2decoder", ON_CHIP, "rtspsrc", "decodebin")


def csi_pipeline(uri: SourceUri, *, native: bool = False) -> list[str]:
    """Elements that give the pictures of the CSI camera that `uri` names; `native` as NV12."""
    return [
        f"nvarguscamerasrc sensor-id={uri.target}",
        f"video/x-raw(memory:NVMM),framerate={_fraction(uri.fps or _CSI_FPS)}",
        ON_CHIP,
        _scaled(uri.size or _CSI_SIZE, native=native),
    ]


def rtsp_pipeline(uri: SourceUri, converter: str = ON_CHIP, *, native: bool = False) -> list[str]:
    """Elements that give an RTSP camera's pictures; its address is a setting of `camera`.

    Args:
        uri: of the camera.
        converter: elements that scale and change colours.
        native: as NV12, which is half the bytes of BGRx and what a decoder gives; else BGRx.
    """
    return [
        # TCP: a lost packet over UDP smears a picture, and smears look like plumes
        f"rtspsrc name=camera protocols=tcp latency={_LATENCY_MS} drop-on-latency=true",
        "application/x-rtp,media=video",
        "decodebin",
        converter,
        _scaled(uri.size, native=native),
    ]


def v4l2_pipeline(uri: SourceUri, converter: str = ON_CHIP, *, native: bool = False) -> list[str]:
    """Elements that give a V4L2 camera's pictures, scaled; its device is a setting."""
    rate = f",framerate={_fraction(uri.fps)}" if uri.fps else ""
    return [
        "v4l2src name=camera",
        f"video/x-raw{rate}",
        converter,
        _scaled(uri.size, native=native),
    ]


def _scaled(size: tuple[int, int] | None, *, native: bool) -> str:
    wanted = f",width={size[0]},height={size[1]}" if size else ""
    return f"video/x-raw,format={'NV12' if native else 'BGRx'}{wanted}"


def _fraction(fps: float) -> str:
    return f"{round(fps * 1000)}/1000"
