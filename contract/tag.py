"""What a row of the tag table says of a value."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum

__all__ = ["Tag", "TagType", "Value"]

Value = bool | int | float | str | bytes | tuple[int, ...] | None


class TagType(Enum):
    """Type of a tag's value; `words` is its length in 16-bit registers, high word first.

    In registers an unknown Float is NaN and any other unknown value has all bits set.
    """

    BOOL = ("Boolean", 1)
    U8 = ("Byte", 1)
    U16 = ("UInt16", 1)
    U32 = ("UInt32", 2)
    U64 = ("UInt64", 4)
    F32 = ("Float", 2)
    TIME = ("DateTime", 4)  # ns since 1970 UTC inside, ms since 1970 UTC in registers
    TEXT = ("String", 0)
    BYTES = ("ByteString", 0)
    BOX = ("UInt16[4]", 4)

    def __init__(self, opc_ua: str, words: int) -> None:
        self.opc_ua = opc_ua
        self.words = words


@dataclass(frozen=True, slots=True)
class Tag:
    """One row of the table."""

    name: str  # "Leak/Score": Sparkplug metric and sheet; OPC UA path with "." for "/"
    type: TagType
    unit: str
    description: str
    _: KW_ONLY
    unknown: Value  # published while the camera is not watched
    register: int | None = None  # first input register
    scaled_register: int | None = None  # the value times `scale` as UInt16, 65535 = more or unknown
    scale: int = 1
    discrete: int | None = None  # discrete input, function 2
    words: int = -1  # registers taken from `register` on; the type's own length unless given
    derived: bool = False  # worked out by the publisher, whatever a snapshot says
    own: bool = False  # the plant process' own word: known while nobody is looking, too

    def __post_init__(self) -> None:
        if self.words < 0:
            object.__setattr__(self, "words", self.type.words)
