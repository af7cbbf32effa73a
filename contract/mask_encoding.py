"""GEM1: one binary gas mask as a few hundred exact bytes, for tags, messages and evidence.

A 76-byte little-endian header and a payload: run lengths of the rows one after another as
variable-length integers, packed by zlib; or the plain bitmap, where that is not larger. A mask is
so never larger than its bitmap and the header. docs/mask-format.md describes every byte.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "HEADER_BYTES",
    "MAX_PIXELS",
    "DecodedMask",
    "decode_mask",
    "encode_mask",
    "size_of_mask",
]

_HEADER = struct.Struct("<4sBBHHHQQQHHI32s")
HEADER_BYTES = _HEADER.size
MAX_PIXELS = 1 << 23  # a 4K camera; a run fits into four bytes

_MAGIC = b"GEM1"
_VERSION = 1
_BITMAP, _RUNS = 0, 1
_UNKNOWN_SCORE = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class DecodedMask:
    """A mask and what was known with it."""

    mask: NDArray[np.bool_]  # (height, width), True is gas
    frame_seq: int
    captured_ns: int  # UTC, ns since 1970
    monotonic_ns: int  # the device's monotonic clock at capture
    score: float | None  # 0..1 in steps of 1e-4
    state: int  # `Leak/State`
    model_sha256: str  # hexadecimal


def encode_mask(
    mask: NDArray[np.bool_],
    *,
    frame_seq: int,
    captured_ns: int,
    monotonic_ns: int,
    score: float | None,
    state: int,
    model_sha256: str,
) -> bytes:
    """Encode a mask, bit for bit.

    Args:
        mask: (height, width) bool, True is gas; 1 to `MAX_PIXELS` pixels.
        frame_seq: number of the frame, 0 or more.
        captured_ns: capture time, UTC, ns since 1970.
        monotonic_ns: the monotonic clock at capture, ns.
        score: 0..1, None when unknown.
        state: `Leak/State` of the frame.
        model_sha256: 64 hexadecimal digits; empty when unknown.

    Raises:
        InputError: when the mask or a number does not fit the format.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"a mask is (height, width) bool, not {mask.shape} {mask.dtype}")
    height, width = mask.shape
    _check_size(width, height)
    bitmap = np.packbits(mask, axis=None).tobytes()
    runs = zlib.compress(_varints_from_runs(_runs_from_mask(mask)), 6)
    encoding, payload = (_RUNS, runs) if len(runs) < len(bitmap) else (_BITMAP, bitmap)
    try:
        header = _HEADER.pack(
            _MAGIC,
            _VERSION,
            encoding,
            width,
            height,
            0,
            frame_seq,
            captured_ns,
            monotonic_ns,
            _UNKNOWN_SCORE if score is None else round(min(max(score, 0.0), 1.0) * 10000),
            state,
            len(payload),
            bytes.fromhex(model_sha256),
        )
    except (struct.error, ValueError) as error:
        raise InputError(f"a value does not fit the mask format: {error}") from error
    return header + payload


def size_of_mask(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header says, without decoding; None when it is no mask."""
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    fields = _HEADER.unpack_from(data)
    return fields[3], fields[4]


def decode_mask(data: bytes) -> DecodedMask:
    """Decode what `encode_mask` made; anything else is refused.

    Raises:
        InputError: when any byte is not as the format says; nothing large is allocated before.
    """
    if len(data) < HEADER_BYTES:
        raise InputError(f"a mask has at least {HEADER_BYTES} bytes, not {len(data)}")
    fields = _HEADER.unpack_from(data)
    magic, version, encoding, width, height, flags, seq, captured, monotonic = fields[:9]
    score, state, length, sha256 = fields[9:]
    if magic != _MAGIC or version != _VERSION or flags != 0:
        raise InputError(f"not a GEM1 version 1 mask: it begins with {data[:5].hex()}")
    _check_size(width, height)
    payload = data[HEADER_BYTES:]
    if len(payload) != length:
        raise InputError(f"the header promises {length} bytes of mask, {len(payload)} follow")
    if score > 10000 and score != _UNKNOWN_SCORE:
        raise InputError(f"the mask's score is {score} ten-thousandths")
    pixels = width * height
    if encoding == _BITMAP:
        flat = _mask_from_bitmap(payload, pixels)
    elif encoding == _RUNS:
        flat = _mask_from_runs(_runs_from_varints(_inflated(payload, pixels)), pixels)
    else:
        raise InputError(f"the mask's encoding is {encoding}; 0 and 1 are known")
    return DecodedMask(
        mask=flat.reshape(height, width),
        frame_seq=seq,
        captured_ns=captured,
        monotonic_ns=monotonic,
        score=None if score == _UNKNOWN_SCORE else score / 10000,
        state=state,
        model_sha256=sha256.hex(),
    )


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= 0xFFFF and 0 < height <= 0xFFFF and width * height <= MAX_PIXELS):
        raise InputError(f"a mask has 1 to {MAX_PIXELS} pixels, not {width} x {height}")


def _runs_from_mask(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Lengths of alternating runs, background first (0 long when the first pixel is gas)."""
    flat = mask.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0, 0] if flat[0] else [0]
    return np.diff(np.concatenate([first, changes, [flat.size]])).astype(np.int32)


def _mask_from_runs(runs: NDArray[np.int32], pixels: int) -> NDArray[np.bool_]:
    if runs.sum() != pixels or (runs[1:] == 0).any():
        raise InputError(f"the mask's runs do not fill its {pixels} pixels exactly")
    return np.repeat(np.arange(runs.size) % 2 == 1, runs)


def _varints_from_runs(runs: NDArray[np.int32]) -> bytes:
    """Seven bits a byte, low bits first, the high bit set on all but a number's last byte."""
    shifts = np.arange(0, 28, 7)
    rest = runs[:, None] >> shifts
    more = (rest >> 7) > 0
    used = (shifts == 0) | (rest > 0)
    octets = ((rest & 0x7F) | (more << 7)).astype(np.uint8)
    return bytes(octets[used])


def _runs_from_varints(data: bytes) -> NDArray[np.int32]:
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if not octets.size or octets[-1] >= 0x80:
        raise InputError("the mask's runs break off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(octets.size, dtype=np.int32)
    places -= np.repeat(starts.astype(np.int32), ends - starts + 1)
    if places.max() > 3 or ((octets[ends] == 0) & (ends > starts)).any():
        raise InputError("the mask holds a run that is too long or longer written than needed")
    parts = (octets & 0x7F).astype(np.int32) << (7 * places)
    runs: NDArray[np.int32] = np.add.reduceat(parts, starts, dtype=np.int32)
    return runs


def _inflated(payload: bytes, pixels: int) -> bytes:
    """Unpack no more than `pixels` runs can need: each run is no shorter than its bytes."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, pixels + 2)
    except zlib.error as error:
        raise InputError(f"the mask's payload is damaged: {error}") from error
    if not unpacker.eof or unpacker.unused_data or len(data) > pixels + 1:
        raise InputError("the mask's payload does not end where its pixels do")
    return data


def _mask_from_bitmap(payload: bytes, pixels: int) -> NDArray[np.bool_]:
    if len(payload) != (pixels + 7) // 8:
        raise InputError(f"a bitmap of {pixels} pixels does not have {len(payload)} bytes")
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    if bits[pixels:].any():
        raise InputError("the mask's bitmap goes on after its last pixel")
    return bits[:pixels].astype(np.bool_)
