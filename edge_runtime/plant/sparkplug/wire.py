"""Sparkplug B payloads as bytes: the few protobuf fields that an edge node and its commands use.

Field numbers are those of Eclipse Tahu's sparkplug_b.proto. Written out here because the encoding
is a page of code, while the generated classes would bring the protobuf runtime to the device and
tie it to one range of its versions. What an edge node never needs is passed over when read.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from contract.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DataType", "Metric", "Payload", "decode_payload", "encode_payload"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_BYTES = 1 << 20  # of a payload that is read
_SMALL = tuple(bytes([number]) for number in range(128))


class DataType(IntEnum):
    """Sparkplug's numbers of the data types in use."""

    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    BYTES = 17


_LONG = (DataType.INT64, DataType.UINT64, DataType.DATETIME)


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one metric."""

    name: str = ""  # in births; data and commands may have the alias alone
    alias: int | None = None
    timestamp_ms: int | None = None  # UTC
    datatype: DataType | None = None  # always known when encoded; births alone carry it
    value: bool | float | str | bytes | None = None
    historical: bool = False
    transient: bool = False
    quality: int | None = None  # 0 bad, 192 good, 500 stale; absent is good
    content_type: str = ""  # of bytes
    unit: str = ""  # a property, in births


@dataclass(frozen=True, slots=True)
class Payload:
    """One message."""

    timestamp_ms: int | None
    metrics: tuple[Metric, ...]
    seq: int | None = None  # absent in deaths


def encode_payload(payload: Payload, *, with_types: bool = True) -> bytes:
    """Encode a message.

    Args:
        payload: what to say; every metric has its datatype.
        with_types: births and records carry the datatypes, data does without.
    """
    parts = [] if payload.timestamp_ms is None else [_number(1, payload.timestamp_ms)]
    parts += [_block(2, _metric(each, with_types=with_types)) for each in payload.metrics]
    if payload.seq is not None:
        parts.append(_number(3, payload.seq))
    return b"".join(parts)


def decode_payload(data: bytes) -> Payload:
    """Decode a message.

    Raises:
        InputError: when it is too large or no Sparkplug B payload.
    """
    if len(data) > _MAX_BYTES:
        raise InputError(f"a Sparkplug payload of {len(data)} bytes; {_MAX_BYTES} are allowed")
    timestamp = seq = None
    metrics = []
    try:
        for number, value in _fields(data):
            if number == 1:
                timestamp = _whole(value)
            elif number == 2:
                metrics.append(_decoded_metric(_octets(value)))
            elif number == 3:
                seq = _whole(value)
    except (IndexError, struct.error, TypeError, ValueError) as error:
        raise InputError(f"not a Sparkplug B payload: {error!r}") from error
    return Payload(timestamp, tuple(metrics), seq)


def _metric(metric: Metric, *, with_types: bool) -> bytes:
    parts = []
    if metric.name:
        parts.append(_block(1, metric.name.encode()))
    if metric.alias is not None:
        parts.append(_number(2, metric.alias))
    if metric.timestamp_ms is not None:
        parts.append(_number(3, metric.timestamp_ms))
    if with_types and metric.datatype is not None:
        parts.append(_number(4, metric.datatype))
    flags = ((5, metric.historical), (6, metric.transient), (7, metric.value is None))
    parts += [_number(number, 1) for number, said in flags if said]
    if metric.content_type:
        size = len(metric.value) if isinstance(metric.value, bytes) else 0
        parts.append(_block(8, _block(2, metric.content_type.encode()) + _number(3, size)))
    properties: list[tuple[str, bytes]] = []
    if metric.quality is not None:
        properties.append(("Quality", _number(1, DataType.INT32) + _number(3, metric.quality)))
    if metric.unit:
        words = _number(1, DataType.STRING) + _block(8, metric.unit.encode())
        properties.append(("engUnit", words))
    if properties:
        keys = b"".join(_block(1, key.encode()) for key, _ in properties)
        parts.append(_block(9, keys + b"".join(_block(2, value) for _, value in properties)))
    if metric.value is not None:
        parts.append(_value(metric.datatype, metric.value))
    return b"".join(parts)


def _value(kind: DataType | None, value: Any) -> bytes:
    if isinstance(value, bytes):
        encoded = _block(16, value)
    elif isinstance(value, str):
        encoded = _block(15, value.encode())
    elif kind is DataType.FLOAT:
        encoded = _key(12, _FIXED32) + struct.pack("<f", value)
    elif kind is DataType.DOUBLE:
        encoded = _key(13, _FIXED64) + struct.pack("<d", value)
    elif kind is DataType.BOOLEAN:
        encoded = _number(14, int(value))
    elif kind in _LONG:
        encoded = _number(11, int(value) & (1 << 64) - 1)
    else:
        encoded = _number(10, int(value) & (1 << 32) - 1)
    return encoded


def _decoded_metric(data: bytes) -> Metric:
    seen: dict[str, Any] = {}
    is_null = False
    for number, raw in _fields(data):
        if number == 7:
            is_null = _flag(raw)
        elif number in _READ:
            name, read = _READ[number]
            seen[name] = read(raw)
    return Metric(**(seen | {"value": None} if is_null else seen))


def _quality(raw: int | bytes) -> int | None:
    """The property of that name in a set of properties."""
    fields = [(number, _octets(each)) for number, each in _fields(_octets(raw))]
    keys = [each for number, each in fields if number == 1]
    values = [each for number, each in fields if number == 2]
    said = dict(zip(keys, values, strict=True)).get(b"Quality")
    quality = None if said is None else dict(_fields(said)).get(3)
    return None if quality is None else _whole(quality)


@functools.cache
def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _block(number: int, data: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _SMALL[value]
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values; fixed-width ones as their bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("it breaks off")
        yield key >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def _whole(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise TypeError("bytes where a number must be")
    return raw


def _octets(raw: int | bytes) -> bytes:
    if not isinstance(raw, bytes):
        raise TypeError("a number where bytes must be")
    return raw


def _flag(raw: int | bytes) -> bool:
    return bool(_whole(raw))


def _text(raw: int | bytes) -> str:
    return _octets(raw).decode()


def _type(raw: int | bytes) -> DataType | None:
    return DataType(_whole(raw)) if raw in {*DataType} else None


def _float(raw: int | bytes) -> float:
    return float(struct.unpack("<f", _octets(raw))[0])


def _double(raw: int | bytes) -> float:
    return float(struct.unpack("<d", _octets(raw))[0])


_READ: dict[int, tuple[str, Callable[[int | bytes], object]]] = {
    1: ("name", _text),
    2: ("alias", _whole),
    3: ("timestamp_ms", _whole),
    4: ("datatype", _type),
    5: ("historical", _flag),
    6: ("transient", _flag),
    9: ("quality", _quality),
    10: ("value", _whole),
    11: ("value", _whole),
    12: ("value", _float),
    13: ("value", _double),
    14: ("value", _flag),
    15: ("value", _text),
    16: ("value", _octets),
}
"""By the number of a metric's field: what it is, and how it is read."""
