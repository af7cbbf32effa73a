"""Pictures from what OpenCV opens: video files, RTSP streams and USB cameras."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from contract.errors import InputError
from contract.packages import need
from contract.pictures import bgr_from_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["camera_pictures", "file_pictures", "file_rate"]

_DEFAULT_FPS = 25.0
_MAX_FPS = 240.0
_NETWORK_TIMEOUT_MS = 10_000


def file_rate(uri: SourceUri) -> float:
    """Frames a second at which a video file is to be played."""
    if uri.fps:
        return uri.fps
    cv2 = need("cv2", extra="cpu")
    with _opened(uri, cv2.CAP_ANY) as video:
        fps = float(video.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= _MAX_FPS else _DEFAULT_FPS


def file_pictures(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Every picture of a video file, once.

    Raises:
        InputError: when it cannot be opened, holds no picture, or breaks off before its end.
    """
    cv2 = need("cv2", extra="cpu")
    with _opened(uri, cv2.CAP_ANY) as video:
        promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        read = 0
        while True:
            there, picture = video.read()
            if not there:
                break
            read += 1
            yield bgr_from_any(picture, where=str(uri))
    if not read:
        raise InputError(f"{uri}: no picture in it can be decoded; is the file whole?")
    # containers round their length; a tenth and two frames are more than rounding
    if read < promised * 0.9 - 2:
        raise InputError(f"{uri}: breaks off after {read} of {promised} pictures")


def camera_pictures(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Pictures of an RTSP stream or a USB camera, until it fails.

    Raises:
        InputError: when it cannot be opened or stops giving pictures.
    """
    cv2 = need("cv2", extra="cpu")
    if uri.scheme == "v4l2":
        settings = [
            (cv2.CAP_PROP_BUFFERSIZE, 1),
            (cv2.CAP_PROP_FRAME_WIDTH, uri.options.get("width")),
            (cv2.CAP_PROP_FRAME_HEIGHT, uri.options.get("height")),
            (cv2.CAP_PROP_FPS, uri.options.get("fps")),
        ]
        parameters = [int(n) for key, value in settings if value is not None for n in (key, value)]
        api = cv2.CAP_V4L2
    else:
        # TCP: a lost packet over UDP smears a picture, and smears look like plumes. What FFmpeg
        # reads to learn the stream's kind is not kept: it would come out late and in a burst.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            "rtsp_transport;tcp|fflags;nobuffer|analyzeduration;500000"
        )
        parameters = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _NETWORK_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _NETWORK_TIMEOUT_MS,
        ]
        api = cv2.CAP_FFMPEG
    with _opened(uri, api, parameters) as video:
        while True:
            there, picture = video.read()
            if not there:
                raise InputError(f"{uri}: the stream stopped")
            yield bgr_from_any(picture, where=str(uri))


@contextlib.contextmanager
def _opened(uri: SourceUri, api: int, parameters: list[int] | None = None) -> Iterator[Any]:
    cv2 = need("cv2", extra="cpu")
    video = cv2.VideoCapture()
    try:
        try:
            opened = video.open(uri.target, api, parameters or [])
        except cv2.error as error:
            # OpenCV's text may repeat the URI with its password
            raise InputError(f"{uri}: cannot be opened ({type(error).__name__})") from None
        if not opened:
            raise InputError(f"{uri}: cannot be opened; is it there, and may it be read?")
        yield video
    finally:
        video.release()
