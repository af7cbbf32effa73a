"""A camera's snapshot as the block of Modbus registers and the discrete inputs of the tag table."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from contract.tags import (
    BLOCK_WORDS,
    DISCRETE_INPUTS,
    MAP_VERSION,
    MAP_VERSION_REGISTER,
    TAGS,
    TagType,
)

if TYPE_CHECKING:
    from contract.tags import CameraSnapshot, Tag, Value

__all__ = ["Block", "block_of", "discrete_inputs", "registers"]

_UNKNOWN = 0xFFFF


@dataclass(frozen=True, slots=True)
class Block:
    """Everything that Modbus can read of one camera at one instant."""

    words: bytes  # of `BLOCK_WORDS` input registers, high byte first
    bits: tuple[bool, ...]  # `DISCRETE_INPUTS` discrete inputs


def block_of(snapshot: CameraSnapshot) -> Block:
    """Pack a snapshot."""
    words = struct.pack(f">{BLOCK_WORDS}H", *registers(snapshot))
    return Block(words, discrete_inputs(snapshot))


def registers(snapshot: CameraSnapshot) -> tuple[int, ...]:
    """Pack a snapshot into `BLOCK_WORDS` unsigned 16-bit registers; unused ones are 0.

    Numbers stand with their high word first (ABCD), times as ms since 1970. An unknown Float is
    NaN; any other unknown value has all bits set.
    """
    block = [0] * BLOCK_WORDS
    block[MAP_VERSION_REGISTER] = MAP_VERSION
    for tag in TAGS:
        value = snapshot.value(tag.name)
        if tag.register is not None:
            block[tag.register : tag.register + tag.words] = _words(tag, value)
        if tag.scaled_register is not None:
            block[tag.scaled_register] = _scaled(tag, value)
    return tuple(block)


def discrete_inputs(snapshot: CameraSnapshot) -> tuple[bool, ...]:
    """Pack a snapshot into `DISCRETE_INPUTS` bits; unused ones are False.

    A number gives its lowest bit: so the heartbeat toggles once a second.
    """
    bits = [False] * DISCRETE_INPUTS
    for tag in TAGS:
        if tag.discrete is not None:
            bits[tag.discrete] = bool(int(cast("int", snapshot.value(tag.name)) or 0) & 1)
    return tuple(bits)


def _words(tag: Tag, value: Value) -> list[int]:
    if value is None and tag.type is not TagType.F32:
        return [_UNKNOWN] * tag.words
    if tag.type is TagType.F32:
        octets = struct.pack(">f", float("nan") if value is None else value)
    elif tag.type is TagType.TEXT:
        octets = _head(str(value), 2 * tag.words)
    elif tag.type is TagType.BOX:
        octets = struct.pack(">4H", *(min(each, _UNKNOWN) for each in cast("tuple[int]", value)))
    else:
        number = cast("int", value)
        if tag.type is TagType.TIME:
            number //= 1_000_000
        octets = min(number, (1 << 16 * tag.words) - 1).to_bytes(2 * tag.words, "big")
    return list(struct.unpack(f">{tag.words}H", octets))


def _head(digits: str, octets: int) -> bytes:
    """First bytes of a hexadecimal text, all ones where it is none."""
    try:
        return bytes.fromhex(digits[: 2 * octets]).ljust(octets, b"\xff")
    except ValueError:
        return b"\xff" * octets


def _scaled(tag: Tag, value: Value) -> int:
    if value is None:
        return _UNKNOWN
    return min(max(round(cast("float", value) * tag.scale), 0), _UNKNOWN)
