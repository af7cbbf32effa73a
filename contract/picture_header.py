"""What a picture file says of itself before it is decoded: its size, and whether it is whole.

OpenCV fills what is missing of a truncated file with grey, and takes the memory that a header asks
for. So both are looked at first, on the bytes alone.
"""

from __future__ import annotations

import re
import struct
import zlib

__all__ = ["BrokenPictureError", "size_of_whole_picture"]


class BrokenPictureError(ValueError):
    """Why these bytes are no whole picture, as the end of a sentence that begins with the file."""


def size_of_whole_picture(data: bytes) -> tuple[int, int]:
    """Width and height in pixels that a PNG, JPEG, BMP, TIFF or WebP file announces.

    A JPEG whose entropy-coded part was damaged but still ends in its marker cannot be told from a
    sound one without decoding it.

    Raises:
        BrokenPictureError: when the bytes are of another kind, broken or end too early.
    """
    if not data:
        raise BrokenPictureError("is empty (0 bytes)")
    for magic, reader in _KINDS:
        if re.match(magic, data, re.DOTALL):
            try:
                return reader(data)
            except (struct.error, IndexError) as error:
                raise BrokenPictureError("is cut off before its end; copy it again") from error
    raise BrokenPictureError("is not a PNG, JPEG, BMP, TIFF or WebP picture")


def _png(data: bytes) -> tuple[int, int]:
    """Walk the chunks to IEND, checking each CRC (PNG specification, section 5)."""
    size: tuple[int, int] | None = None
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = memoryview(data)[at + 4 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(body) != crc:
            raise BrokenPictureError(f"is damaged (checksum of its {kind.decode('latin-1')} part)")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, at + 8)
            size = width, height
        elif kind == b"IEND":
            break
        at += 12 + length
    if size is None:
        raise BrokenPictureError("is damaged (a PNG with no header)")
    return size


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers with no length behind them
_JPEG_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # ends a scan: no stuffing, no restart


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments and scans to the end marker (ITU-T T.81, annex B).

    Segments are skipped by their length, so the end marker of an Exif thumbnail does not count;
    bytes behind the end do not matter.
    """
    size: tuple[int, int] | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise BrokenPictureError("is damaged (a JPEG marker is missing)")
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == _JPEG_END:
            break
        elif marker in _JPEG_BARE:
            at += 2
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            if marker in _JPEG_FRAMES:
                height, width = struct.unpack_from(">HH", data, at + 5)
                size = width, height
            at += 2 + length
            if marker == _JPEG_SCAN:
                found = _JPEG_NEXT.search(data, at)
                if found is None:
                    raise BrokenPictureError("is cut off before its end; copy it again")
                at = found.start()
    if size is None:
        raise BrokenPictureError("is damaged (a JPEG with no picture in it)")
    return size


def _bmp(data: bytes) -> tuple[int, int]:
    whole, offset = struct.unpack_from("<I4xI", data, 2)
    width, height, _, bits, packed = struct.unpack_from("<iiHHI", data, 18)
    row = (abs(width) * bits + 31) // 32 * 4
    needed = whole if packed in (1, 2) else offset + row * abs(height)
    if needed > len(data):
        raise BrokenPictureError("is cut off before its end; copy it again")
    return abs(width), abs(height)


_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_PLACES = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles


def _tiff(data: bytes) -> tuple[int, int]:
    """First directory of a classic TIFF (TIFF 6.0, section 2), and that its pixels are there."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    fields: dict[int, tuple[int, ...]] = {}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
        if tag in fields:  # some decoders believe the first, others the last
            raise BrokenPictureError("is damaged (a TIFF field that stands twice)")
        fields[tag] = ()
        if kind not in _TIFF_TYPES:
            continue
        form = f"{order}{count}{_TIFF_TYPES[kind]}"
        if struct.calcsize(form) > len(data):
            raise BrokenPictureError("is damaged (a TIFF field longer than the file)")
        place = entry + 8
        if struct.calcsize(form) > 4:
            (place,) = struct.unpack_from(order + "I", data, place)
        fields[tag] = struct.unpack_from(form, data, place)
    for offsets, counts in _TIFF_PLACES:
        ends = zip(fields.get(offsets, ()), fields.get(counts, ()), strict=False)
        if any(start + length > len(data) for start, length in ends):
            raise BrokenPictureError("is cut off before its end; copy it again")
    if not fields.get(_TIFF_WIDTH) or not fields.get(_TIFF_HEIGHT):
        raise BrokenPictureError("is damaged (a TIFF with no size)")
    return fields[_TIFF_WIDTH][0], fields[_TIFF_HEIGHT][0]


def _webp(data: bytes) -> tuple[int, int]:
    """Size from the first chunk of a RIFF file (WebP container specification)."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise BrokenPictureError("is cut off before its end; copy it again")
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise BrokenPictureError("is damaged (a WebP with no picture in it)")


_KINDS = (
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"BM", _bmp),
    (rb"II\x2a\x00|MM\x00\x2a", _tiff),
    (rb"RIFF....WEBP", _webp),
)
