"""Pictures of a Jetson's CSI camera, through GStreamer in a process of its own.

nvvidconv leaves the camera's memory and its colour format on the chip's own engine; a queue that
drops the oldest keeps the picture fresh (NVIDIA's Accelerated GStreamer guide).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError
from edge_runtime.child_process import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["csi_pictures", "csi_pipeline", "raw_pictures"]


def csi_pipeline(sensor: int, width: int, height: int, fps: float) -> list[str]:
    """Elements of the pipeline that writes width x height BGRx pictures to standard output."""
    rate = f"{round(fps * 1000)}/1000"
    return [
        f"nvarguscamerasrc sensor-id={sensor}",
        f"video/x-raw(memory:NVMM),framerate={rate}",
        "nvvidconv",
        f"video/x-raw,format=BGRx,width={width},height={height}",
        "queue leaky=downstream max-size-buffers=1",
        "fdsink fd=1 sync=false",
    ]


def csi_pictures(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Pictures of the CSI camera that `uri` names.

    Raises:
        InputError: when GStreamer is missing or its pipeline ends.
    """
    width, height = int(uri.options.get("width", 1280)), int(uri.options.get("height", 720))
    elements = csi_pipeline(int(uri.target), width, height, uri.fps or 30.0)
    return raw_pictures(elements, width, height, where=str(uri))


def raw_pictures(
    elements: list[str], width: int, height: int, *, where: str
) -> Iterator[NDArray[np.uint8]]:
    """Pictures that a GStreamer pipeline writes to standard output as raw BGRx.

    Raises:
        InputError: when GStreamer is missing or its pipeline ends.
    """
    launcher = shutil.which("gst-launch-1.0")
    if launcher is None:
        raise InputError(f"{where}: gst-launch-1.0 is missing; apt-get install gstreamer1.0-tools")
    parent = os.getpid()
    words = [word for element in elements for word in ("!", *element.split())][1:]
    process = subprocess.Popen(  # noqa: S603 - our own pipeline, no shell
        [launcher, "-q", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - this process has one thread
    )
    size = width * height * 4
    try:
        if process.stdout is None:
            raise InputError(f"{where}: GStreamer gave no pipe")
        while True:
            data = process.stdout.read(size)
            if len(data) < size:
                code = process.wait()
                raise InputError(f"{where}: GStreamer's pipeline ended (exit code {code})")
            pixels = np.frombuffer(data, np.uint8).reshape(height, width, 4)
            yield np.ascontiguousarray(pixels[..., :3])
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
