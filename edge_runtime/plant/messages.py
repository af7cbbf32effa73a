"""What travels between the frames process and the gateway: a JSON header and one binary blob.

Nothing in a message is ever executed, sizes are bounded before anything is read, and every value
is checked against the tag table.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from contract.errors import InputError
from contract.tags import TAGS, CameraSnapshot, Quality, TagType

if TYPE_CHECKING:
    from contract.tags import Tag, Value

__all__ = [
    "OVERLAY",
    "PREFIX_BYTES",
    "RAW",
    "Picture",
    "Sent",
    "decode_message",
    "encode_picture",
    "encode_snapshot",
    "message_from_fields",
    "sizes_from_prefix",
    "wire_from_header",
    "wire_from_parts",
]

_PREFIX = struct.Struct(">4sII")  # magic, header bytes, blob bytes
PREFIX_BYTES = _PREFIX.size
_MAGIC = b"GEL1"
_MAX_HEADER = 64 << 10
_MAX_BLOB = 8 << 20
_CAMERA = re.compile(r"[A-Za-z0-9_.-]{1,64}")
OVERLAY = "overlay"
"""View of a picture with mask and state drawn in."""
RAW = "raw"
"""View of a picture as the camera took it, for evidence."""
_MASK = "Mask/Data"
_LARGEST = {TagType.U8: 0xFF, TagType.U16: 0xFFFF, TagType.U32: 0xFFFF_FFFF}
_BY_NAME = {tag.name: tag for tag in TAGS}


@dataclass(frozen=True, slots=True)
class Sent:
    """A snapshot as it arrives."""

    snapshot: CameraSnapshot
    sent_ns: int  # monotonic
    age_ns: int  # of the frame when it was sent


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it arrives."""

    camera: str
    jpeg: bytes
    captured_ns: int  # UTC
    view: str = OVERLAY


def encode_snapshot(snapshot: CameraSnapshot, *, sent_ns: int, age_ns: int) -> bytes:
    """Put a snapshot into one message.

    Raises:
        InputError: when a value does not fit its row of the tag table.
    """
    values = {
        name: _checked(_row(name), value)
        for name, value in snapshot.values.items()
        if value is not None
    }
    blob = cast("bytes", values.pop(_MASK, b""))
    header = {
        "kind": "snapshot",
        "camera": snapshot.camera,
        "unit_id": snapshot.unit_id,
        "quality": int(snapshot.quality),
        "heartbeat": snapshot.heartbeat,
        "source_time_ns": snapshot.source_time_ns,
        "sent_ns": sent_ns,
        "age_ns": age_ns,
        "values": values,
    }
    return wire_from_header(header, blob)


def encode_picture(camera: str, jpeg: bytes, captured_ns: int, view: str = OVERLAY) -> bytes:
    """Put a picture into one message; `view` is `OVERLAY` or `RAW`.

    Raises:
        InputError: when it is too large.
    """
    header = {"kind": "picture", "camera": camera, "captured_ns": captured_ns, "view": view}
    return wire_from_header(header, jpeg)


def sizes_from_prefix(prefix: bytes) -> tuple[int, int]:
    """Bytes of header and blob that follow a prefix of `PREFIX_BYTES`.

    Raises:
        InputError: when it is no prefix or promises more than is allowed.
    """
    magic, header, blob = _PREFIX.unpack(prefix)
    if magic != _MAGIC or header > _MAX_HEADER or blob > _MAX_BLOB:
        raise InputError(f"not a message of the plant link: it begins with {prefix.hex()}")
    return header, blob


def decode_message(header: bytes, blob: bytes) -> Sent | Picture:
    """Read a message; names that this version does not know are left out.

    Raises:
        InputError: when anything in it is not as it must be.
    """
    try:
        return message_from_fields(json.loads(header), blob)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a message of the plant link is damaged: {error!r}") from error


def message_from_fields(fields: dict[str, Any], blob: bytes) -> Sent | Picture:
    """Read a message whose header is parsed already.

    Raises:
        InputError, KeyError, TypeError, ValueError, OverflowError: when it is not as it must be.
    """
    camera = str(fields["camera"])
    if not _CAMERA.fullmatch(camera):
        raise InputError(f"a camera cannot be named {camera!r}")
    if fields["kind"] == "picture":
        if fields["view"] not in (OVERLAY, RAW):
            raise InputError(f"a picture cannot be a view {fields['view']!r}")
        return Picture(camera, blob, int(fields["captured_ns"]), fields["view"])
    values: dict[str, Value] = {
        name: _checked(_BY_NAME[name], value)
        for name, value in dict(fields["values"]).items()
        if name in _BY_NAME and name != _MASK
    }
    if blob:
        values[_MASK] = blob
    snapshot = CameraSnapshot(
        camera=camera,
        unit_id=int(fields["unit_id"]),
        quality=Quality(fields["quality"]),
        heartbeat=int(fields["heartbeat"]),
        source_time_ns=int(fields["source_time_ns"]),
        values=values,
    )
    return Sent(snapshot, int(fields["sent_ns"]), int(fields["age_ns"]))


def wire_from_header(header: dict[str, Any], blob: bytes = b"") -> bytes:
    """The bytes of one message.

    Raises:
        InputError: when it is too large.
    """
    return wire_from_parts(json.dumps(header, allow_nan=False).encode(), blob)


def wire_from_parts(header: bytes, blob: bytes) -> bytes:
    """The bytes of a message whose header is JSON already.

    Raises:
        InputError: when it is too large.
    """
    if len(header) > _MAX_HEADER or len(blob) > _MAX_BLOB:
        raise InputError(
            f"a message for the plant has {len(header)} + {len(blob)} bytes; "
            f"{_MAX_HEADER} + {_MAX_BLOB} are allowed"
        )
    return _PREFIX.pack(_MAGIC, len(header), len(blob)) + header + blob


def _row(name: str) -> Tag:
    if name not in _BY_NAME:
        raise InputError(f"there is no tag {name}")
    return _BY_NAME[name]


def _checked(tag: Tag, value: Any) -> Value:
    """A value as the plain Python type of its tag (numpy's numbers come in too)."""
    kind = tag.type
    if kind is TagType.BYTES:
        fitting: Value = bytes(value)
    elif kind is TagType.TEXT:
        fitting = str(value)[:256]
    elif kind is TagType.F32:
        fitting = float(value)
        if fitting - fitting != 0:  # NaN and infinities
            raise InputError(f"{tag.name} is {fitting}; leave it out while it is unknown")
    elif kind is TagType.BOOL:
        fitting = bool(value)
    elif kind is TagType.BOX:
        fitting = tuple(int(each) for each in value)
        if len(fitting) != 4 or not all(0 <= each <= 0xFFFF for each in fitting):
            raise InputError(f"{tag.name} is x, y, width, height in pixels, not {fitting}")
    else:
        fitting = int(value)
        if not 0 <= fitting <= _LARGEST.get(kind, (1 << 63) - 1):
            raise InputError(f"{tag.name} is {fitting}; that does not fit {kind.opc_ua}")
    return fitting
