"""Answers to Modbus requests: read-only functions over one camera's block, no socket.

After "MODBUS Application Protocol Specification V1.1b3".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_runtime.plant.registers import Block

__all__ = ["answer"]

_ILLEGAL_FUNCTION = 0x01
_ILLEGAL_ADDRESS = 0x02
_ILLEGAL_VALUE = 0x03
_NO_SUCH_UNIT = 0x0B

_READ_BITS = (0x01, 0x02)
_READ_WORDS = (0x03, 0x04)
_IDENTIFY, _MEI_IDENTIFY = 0x2B, 0x0E
_MAX_BITS, _MAX_WORDS = 2000, 125


def answer(request: bytes, block: Block | None, identification: Mapping[int, str]) -> bytes:
    """Answer one request (function code and data), from one block: an answer is never mixed.

    Args:
        request: at least one byte.
        block: the unit's values; None when there is no such unit.
        identification: device identification objects by number.
    """
    function = request[0]
    if block is None:
        return _exception(function, _NO_SUCH_UNIT)
    if function in _READ_BITS:
        return _bits(request, block.bits)
    if function in _READ_WORDS:
        return _words(request, block.words)
    if function == _IDENTIFY and request[1:2] == bytes([_MEI_IDENTIFY]):
        return _identify(request, identification)
    return _exception(function, _ILLEGAL_FUNCTION)


def _exception(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


def _bits(request: bytes, values: tuple[bool, ...]) -> bytes:
    if len(request) != 5:
        return _exception(request[0], _ILLEGAL_VALUE)
    first, count = struct.unpack(">HH", request[1:])
    if not 1 <= count <= _MAX_BITS:
        return _exception(request[0], _ILLEGAL_VALUE)
    if first + count > len(values):
        return _exception(request[0], _ILLEGAL_ADDRESS)
    packed = sum(bit << place for place, bit in enumerate(values[first : first + count]))
    octets = packed.to_bytes((count + 7) // 8, "little")
    return bytes([request[0], len(octets)]) + octets


def _words(request: bytes, values: bytes) -> bytes:
    if len(request) != 5:
        return _exception(request[0], _ILLEGAL_VALUE)
    first, count = struct.unpack(">HH", request[1:])
    if not 1 <= count <= _MAX_WORDS:
        return _exception(request[0], _ILLEGAL_VALUE)
    if 2 * (first + count) > len(values):
        return _exception(request[0], _ILLEGAL_ADDRESS)
    return bytes([request[0], 2 * count]) + values[2 * first : 2 * (first + count)]


def _identify(request: bytes, objects: Mapping[int, str]) -> bytes:
    if len(request) != 4 or request[2] not in {1, 2, 3, 4}:
        return _exception(request[0], _ILLEGAL_VALUE)
    wanted, first = request[2], request[3]
    if wanted == 4:
        if first not in objects:
            return _exception(request[0], _ILLEGAL_ADDRESS)
        numbers = [first]
    else:
        last = 2 if wanted == 1 else 0x7F
        numbers = [number for number in sorted(objects) if number <= last]
        if first in numbers:
            numbers = numbers[numbers.index(first) :]
    body = b""
    for number in numbers:
        text = objects[number].encode()[:64]
        body += bytes([number, len(text)]) + text
    # 0x82: regular identification, as a stream and one by one; all of it fits one answer
    return bytes([_IDENTIFY, _MEI_IDENTIFY, wanted, 0x82, 0, 0, len(numbers)]) + body
