"""The opset of an ONNX file, read from its bytes: a device has no onnx package."""

from __future__ import annotations

from contract.errors import InputError

__all__ = ["opset_from_onnx"]

_OPSET_IMPORT = 8  # ModelProto.opset_import in onnx.proto
_DOMAIN, _VERSION = 1, 2  # OperatorSetIdProto
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types of protobuf


def opset_from_onnx(graph: bytes) -> int:
    """Version of the standard operator set that a graph is written in.

    Raises:
        InputError: when the bytes are no ONNX file.
    """
    try:
        for field, value in _fields(memoryview(graph)):
            if field == _OPSET_IMPORT and isinstance(value, memoryview):
                entry = dict(_fields(value))
                domain, version = entry.get(_DOMAIN, b""), entry.get(_VERSION)
                if isinstance(version, int) and not isinstance(domain, int) and not len(domain):
                    return version
    except (IndexError, ValueError) as error:
        raise InputError(f"this is not an ONNX file ({error})") from error
    raise InputError("this is not an ONNX file: it names no operator set")


def _fields(data: memoryview) -> list[tuple[int, int | memoryview]]:
    """Number and value of every field of one protobuf message; nested messages stay bytes."""
    fields: list[tuple[int, int | memoryview]] = []
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        value: int | memoryview
        if key & 7 == _VARINT:
            value, position = _varint(data, position)
        elif key & 7 in (_FIXED64, _LENGTH, _FIXED32):
            length = {_FIXED64: 8, _FIXED32: 4}.get(key & 7)
            if length is None:
                length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("it is cut off")
            value, position = data[position : position + length], position + length
        else:
            raise ValueError(f"field of unknown kind {key & 7}")
        fields.append((key >> 3, value))
    return fields


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
