"""Pictures out of a GStreamer pipeline, through its C library: the only file that speaks to it.

The pipeline ends in an appsink that holds the newest picture only, and says itself what format and
size that has, so nothing is guessed and nothing queues. Secrets are set as properties: a command
line could be read by every user of the machine.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import InputError
from contract.packages import need
from edge_runtime.pixels import Layout, NativePicture
from edge_runtime.sources.capture_clock import CaptureClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["has_elements", "raw_pictures"]

_SINK = "appsink name=sink max-buffers=1 drop=true sync=false"

_PLAYING, _NULL = 4, 1
_FAILED = 0  # GST_STATE_CHANGE_FAILURE
_ERROR, _EOS = 1 << 1, 1 << 0
_PULL_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_NO_TIME = (1 << 64) - 1
_PTS_OFFSET = 72  # of GstBuffer.pts: GstMiniObject (64 bytes) and the pool come before it
_ROW = 4  # GStreamer pads rows to four bytes

# format: bytes of a pixel in the first plane, rows of all planes per row of the picture
_FORMATS = {
    "GRAY8": (1, 1.0),
    "GRAY16_LE": (2, 1.0),
    "BGR": (3, 1.0),
    "BGRx": (4, 1.0),
    "NV12": (1, 1.5),
    "YUY2": (2, 1.0),
    "UYVY": (2, 1.0),
    "bggr": (1, 1.0),
    "gbrg": (1, 1.0),
    "grbg": (1, 1.0),
    "rggb": (1, 1.0),
}
_PAIRED = ("NV12", "YUY2", "UYVY")  # two pixels share their colour: odd sizes are padded
_FULL_RANGE = re.compile(r"\bcolorimetry=\(\w+\)1:")


class _GError(ctypes.Structure):
    _fields_ = (
        ("domain", ctypes.c_uint32),
        ("code", ctypes.c_int),
        ("message", ctypes.c_char_p),
    )


@functools.cache
def _libraries() -> tuple[Any, Any]:
    """GStreamer's core and its application library, initialised.

    Raises:
        InputError: when they are not installed.
    """
    try:
        gst = ctypes.CDLL("libgstreamer-1.0.so.0")
        app = ctypes.CDLL("libgstapp-1.0.so.0")
    except OSError:
        raise InputError(
            "GStreamer is missing; apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base"
        ) from None
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    number, long = ctypes.c_int, ctypes.c_uint64
    for library, name, result, arguments in (
        (gst, "gst_parse_launch", pointer, (text, pointer)),
        (gst, "gst_bin_get_by_name", pointer, (pointer, text)),
        (gst, "gst_util_set_object_arg", None, (pointer, text, text)),
        (gst, "gst_element_set_state", number, (pointer, number)),
        (gst, "gst_element_get_bus", pointer, (pointer,)),
        (gst, "gst_bus_timed_pop_filtered", pointer, (pointer, long, number)),
        (gst, "gst_message_parse_error", None, (pointer, pointer, pointer)),
        (gst, "gst_element_factory_find", pointer, (text,)),
        (gst, "gst_sample_get_buffer", pointer, (pointer,)),
        (gst, "gst_sample_get_caps", pointer, (pointer,)),
        (gst, "gst_caps_to_string", pointer, (pointer,)),
        (gst, "gst_buffer_get_size", ctypes.c_size_t, (pointer,)),
        (
            gst,
            "gst_buffer_extract",
            ctypes.c_size_t,
            (pointer, ctypes.c_size_t, pointer, ctypes.c_size_t),
        ),
        (gst, "gst_mini_object_unref", None, (pointer,)),
        (gst, "gst_object_unref", None, (pointer,)),
        (gst, "g_free", None, (pointer,)),
        (gst, "g_error_free", None, (pointer,)),
        (app, "gst_app_sink_try_pull_sample", pointer, (pointer, long)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    gst.gst_init(None, None)
    return gst, app


def has_elements(*names: str) -> bool:
    """Whether GStreamer is installed and has all these elements."""
    try:
        gst, _ = _libraries()
    except InputError:
        return False
    for name in names:
        factory = gst.gst_element_factory_find(name.encode())
        if not factory:
            return False
        gst.gst_object_unref(factory)
    return True


def raw_pictures(
    elements: list[str],
    *,
    where: str,
    settings: Mapping[str, str] | None = None,
    native: bool = False,
) -> Iterator[tuple[NDArray[Any] | NativePicture, int]]:
    """Pictures of a pipeline, the newest each time, and when each was taken (monotonic ns).

    Args:
        elements: of the pipeline, in order, without its sink.
        where: names the source in errors.
        settings: properties of the element named `camera`; an address among them is not shown.
        native: leave NV12 as it comes.

    Yields:
        (h, w) uint8 or uint16 grey, (h, w, 3) uint8 BGR, or NV12.

    Raises:
        InputError: when GStreamer or an element is missing, or the pipeline ends.
    """
    gst, app = _libraries()
    fault = ctypes.POINTER(_GError)()
    line = " ! ".join([*elements, _SINK])
    pipeline = gst.gst_parse_launch(line.encode(), ctypes.byref(fault))
    if fault:
        raise InputError(f"{where}: {_said(gst, fault, settings)}")
    bus = gst.gst_element_get_bus(pipeline)
    sink = gst.gst_bin_get_by_name(pipeline, b"sink")
    clock = CaptureClock()
    try:
        for name, value in (settings or {}).items():
            camera = gst.gst_bin_get_by_name(pipeline, b"camera")
            gst.gst_util_set_object_arg(camera, name.encode(), value.encode())
            gst.gst_object_unref(camera)
        if gst.gst_element_set_state(pipeline, _PLAYING) == _FAILED:
            raise InputError(f"{where}: {_why(gst, bus, settings) or 'cannot be started'}")
        while True:
            sample = app.gst_app_sink_try_pull_sample(sink, _PULL_NS)
            if not sample:
                if ended := _why(gst, bus, settings):
                    raise InputError(f"{where}: {ended}")
                continue
            arrived_ns = time.monotonic_ns()
            try:
                pixels, stream_ns = _taken_out(gst, sample, where, native=native)
            finally:
                gst.gst_mini_object_unref(sample)
            if stream_ns == _NO_TIME:
                yield pixels, arrived_ns
                continue
            taken_ns = clock.taken_ns(stream_ns, arrived_ns)
            if clock.caught_up:
                yield pixels, taken_ns
    finally:
        gst.gst_element_set_state(pipeline, _NULL)
        for each in (sink, bus, pipeline):
            gst.gst_object_unref(each)


def _taken_out(
    gst: Any, sample: int, where: str, *, native: bool
) -> tuple[NDArray[Any] | NativePicture, int]:
    buffer = gst.gst_sample_get_buffer(sample)
    spoken = gst.gst_caps_to_string(gst.gst_sample_get_caps(sample))
    caps = ctypes.string_at(spoken).decode()
    gst.g_free(spoken)
    data = np.empty(gst.gst_buffer_get_size(buffer), np.uint8)
    gst.gst_buffer_extract(buffer, 0, data.ctypes.data, data.size)
    pts = ctypes.c_uint64.from_address(buffer + _PTS_OFFSET).value
    found = {
        name: re.search(rf"\b{name}=\(\w+\)(\w+)", caps) for name in ("format", "width", "height")
    }
    name, width, height = (match.group(1) if match else "" for match in found.values())
    if not (name in _FORMATS and width.isdigit() and height.isdigit()):
        raise InputError(f"{where}: GStreamer gives {caps}, which cannot be read")
    try:
        size = int(width), int(height)
        full = _FULL_RANGE.search(caps) is not None
        return _pixels(data, name, *size, native=native, full_range=full), pts
    except ValueError:
        raise InputError(
            f"{where}: {data.size} bytes are no {width}x{height} picture of {name}"
        ) from None


def _pixels(
    data: NDArray[np.uint8],
    name: str,
    width: int,
    height: int,
    *,
    native: bool,
    full_range: bool = False,
) -> NDArray[Any] | NativePicture:
    """The pixels of a raw buffer as (h, w) grey, (h, w, 3) BGR or, where asked for, NV12.

    Raises:
        ValueError: when the buffer does not hold them.
    """
    cv2 = need("cv2", extra="cpu")
    wide, planes = _FORMATS[name]
    across = width + width % 2 if name in _PAIRED else width
    down = height + height % 2 if name == "NV12" else height
    rows = round(down * planes)
    # the last row's padding may be missing: some elements count tightly
    stride = -(-across * wide // _ROW) * _ROW
    if data.size == rows * across * wide:
        stride = across * wide
    lines = data[: rows * stride].reshape(rows, stride)[:, : across * wide]
    if name == "GRAY8":
        return np.ascontiguousarray(lines)
    if name == "GRAY16_LE":
        return np.ascontiguousarray(lines).view("<u2")
    if name in ("BGR", "BGRx"):
        return np.ascontiguousarray(lines.reshape(height, width, wide)[..., :3])
    packed = np.ascontiguousarray(lines)
    if name in ("YUY2", "UYVY"):
        packed = packed.reshape(height, across, 2)
    if full_range and name in _PAIRED:
        packed = _limited(packed, name, down)
    if native and name == "NV12" and (across, down) == (width, height):
        return NativePicture(packed, Layout.NV12)
    code = {
        "NV12": cv2.COLOR_YUV2BGR_NV12,
        "YUY2": cv2.COLOR_YUV2BGR_YUY2,
        "UYVY": cv2.COLOR_YUV2BGR_UYVY,
        "bggr": cv2.COLOR_BayerBGGR2BGR,
        "gbrg": cv2.COLOR_BayerGBRG2BGR,
        "grbg": cv2.COLOR_BayerGRBG2BGR,
        "rggb": cv2.COLOR_BayerRGGB2BGR,
    }[name]
    picture = np.asarray(cv2.cvtColor(packed, code), np.uint8)
    return np.ascontiguousarray(picture[:height, :width])


def _limited(packed: NDArray[np.uint8], name: str, down: int) -> NDArray[np.uint8]:
    """Brightness and colour of full range, brought into the limited one that is read."""
    cv2 = need("cv2", extra="cpu")
    level = np.arange(256)
    light = np.rint(16 + level * 219 / 255).astype(np.uint8)
    colour = np.rint(128 + (level - 128) * 224 / 255).astype(np.uint8)
    if name == "NV12":
        return np.concatenate([cv2.LUT(packed[:down], light), cv2.LUT(packed[down:], colour)])
    pair = (light, colour) if name == "YUY2" else (colour, light)
    return np.asarray(cv2.LUT(packed, np.stack(pair, -1)[None]), np.uint8)


def _why(gst: Any, bus: int, settings: Mapping[str, str] | None) -> str:
    """Why the pipeline ended, or nothing when it goes on."""
    message = gst.gst_bus_timed_pop_filtered(bus, 0, _ERROR | _EOS)
    if not message:
        return ""
    fault = ctypes.POINTER(_GError)()
    try:
        kind = ctypes.c_int.from_address(message + 64).value  # GstMessage.type
        if kind == _EOS:
            return "the stream ended"
        gst.gst_message_parse_error(message, ctypes.byref(fault), None)
        return _said(gst, fault, settings)
    finally:
        gst.gst_mini_object_unref(message)


def _said(gst: Any, fault: Any, settings: Mapping[str, str] | None) -> str:
    text = " ".join((fault.contents.message or b"").decode(errors="replace").split())
    gst.g_error_free(fault)
    for value in (settings or {}).values():
        if "://" in value:  # it may hold a password
            text = text.replace(value, "***")
    return f"GStreamer: {text}"
