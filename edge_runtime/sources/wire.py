"""What a decoder process writes down its pipe: a fixed header, then raw pixels or a text."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from edge_runtime.pixels import Layout

__all__ = ["FRAME_KINDS", "HEADER_BYTES", "MAX_PIXELS", "Header", "Kind"]

_LAYOUT = struct.Struct("<4sIIIQQQ")
_MAGIC = b"GEF1"
HEADER_BYTES = _LAYOUT.size
MAX_PIXELS = 1 << 26
_MAX_TEXT = 1 << 12


class Kind(IntEnum):
    """What follows a header."""

    FRAME = 0  # height * width * 3 bytes of BGR
    ENDED = 1  # UTF-8 text: how the file or folder came to its end
    FAILED = 2  # UTF-8 text: why there are no (more) pictures
    NOTE = 3  # UTF-8 text: which way the pictures take
    GREY_FRAME = 4  # height * width bytes
    NV12_FRAME = 5  # height * width * 3 / 2 bytes


FRAME_KINDS = {
    Layout.BGR: Kind.FRAME,
    Layout.GREY: Kind.GREY_FRAME,
    Layout.NV12: Kind.NV12_FRAME,
}
_HALVES = {Kind.FRAME: 6, Kind.GREY_FRAME: 2, Kind.NV12_FRAME: 3}  # of a byte a pixel


@dataclass(frozen=True, slots=True)
class Header:
    """One message of a decoder."""

    kind: Kind
    width: int
    height: int
    captured_ns: int  # UTC, ns since 1970
    monotonic_ns: int
    length: int  # bytes that follow

    def pack(self) -> bytes:
        """The header's bytes."""
        return _LAYOUT.pack(
            _MAGIC,
            self.kind,
            self.width,
            self.height,
            self.captured_ns,
            self.monotonic_ns,
            self.length,
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Header:
        """Read a header.

        Raises:
            ValueError: when the bytes are none, or promise more than a picture can hold.
        """
        magic, kind, width, height, captured_ns, monotonic_ns, length = _LAYOUT.unpack(data)
        header = cls(Kind(kind), width, height, captured_ns, monotonic_ns, length)
        whole = (
            0 < width * height <= MAX_PIXELS and 2 * length == width * height * _HALVES[header.kind]
            if header.kind in _HALVES
            else length <= _MAX_TEXT
        )
        if magic != _MAGIC or not whole:
            raise ValueError("the decoder's pipe is out of step")
        return header
