"""Pictures from what OpenCV opens: video files, RTSP streams and USB cameras."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import InputError
from contract.packages import need
from contract.pictures import bgr_from_any
from edge_runtime.sources.capture_clock import CaptureClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["file_pictures", "file_rate", "stream_pictures", "trusted_ns", "usb_pictures"]

_DEFAULT_FPS = 25.0
_MAX_FPS = 240.0
_FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_NETWORK_TIMEOUT_MS = 10_000
_OLDEST_NS = 10_000_000_000  # a driver holds no picture for longer


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


def stream_pictures(uri: SourceUri) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Pictures of an RTSP stream and when each was taken (monotonic ns), until it fails.

    Raises:
        InputError: when it cannot be opened or stops giving pictures.
    """
    cv2 = need("cv2", extra="cpu")
    # TCP: a lost packet over UDP smears a picture, and smears look like plumes. What FFmpeg reads
    # to learn the stream's kind is not kept: it would come out late and in a burst.
    options = "rtsp_transport;tcp|fflags;nobuffer|analyzeduration;500000"
    parameters = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        _NETWORK_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        _NETWORK_TIMEOUT_MS,
    ]
    clock, first = CaptureClock(), True
    with contextlib.ExitStack() as opened:
        os.environ[_FFMPEG_OPTIONS] = options
        try:
            stream = opened.enter_context(_opened(uri, cv2.CAP_FFMPEG, parameters))
        finally:
            del os.environ[_FFMPEG_OPTIONS]  # a file that is read so loses pictures
        while True:
            there, picture = stream.read()
            if not there:
                raise InputError(f"{uri}: the stream stopped")
            arrived_ns = time.monotonic_ns()
            stream_ns = round(stream.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if stream_ns <= 0:  # it is the first picture, or the stream has no times
                if first:
                    first = False
                else:
                    yield picture, arrived_ns
                continue
            taken_ns = clock.taken_ns(stream_ns, arrived_ns)
            if clock.caught_up:
                yield picture, taken_ns


def usb_pictures(uri: SourceUri) -> Iterator[tuple[NDArray[Any], int]]:
    """Pictures of a USB camera and when each was taken (monotonic ns), until it fails.

    With a range of counts the camera is asked for Y16, 16 bits a pixel.

    Raises:
        InputError: when it cannot be opened, gives no 16 bits or stops giving pictures.
    """
    cv2 = need("cv2", extra="cpu")
    counts = "range" in uri.options
    settings = [
        (cv2.CAP_PROP_BUFFERSIZE, 1),
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"Y16 ") if counts else None),
        (cv2.CAP_PROP_CONVERT_RGB, 0 if counts else None),
        (cv2.CAP_PROP_FRAME_WIDTH, uri.options.get("width")),
        (cv2.CAP_PROP_FRAME_HEIGHT, uri.options.get("height")),
        (cv2.CAP_PROP_FPS, uri.options.get("fps")),
    ]
    parameters = [int(n) for key, value in settings if value is not None for n in (key, value)]
    with _opened(uri, cv2.CAP_V4L2, parameters) as camera:
        while True:
            there, picture = camera.read()
            if not there:
                raise InputError(f"{uri}: the camera stopped")
            if counts and picture.dtype != np.uint16:
                raise InputError(f"{uri}: gives no Y16; leave the range of counts away")
            arrived_ns = time.monotonic_ns()
            taken_ns = round(camera.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            yield picture, trusted_ns(taken_ns, arrived_ns)


def trusted_ns(taken_ns: int, arrived_ns: int) -> int:
    """A driver's time of capture where it runs on the monotonic clock, else the arrival's."""
    return taken_ns if 0 <= arrived_ns - taken_ns < _OLDEST_NS else arrived_ns


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
