"""What the OPC UA library would do on a stranger's word alone, before anybody logged in.

asyncua 2.1 makes an array of nothing, the type Null of OPC UA Part 6, as long as the message says:
a hundred bytes in any request's header would ask for 2^31 elements, which take 17 GB. Every other
type takes bytes for each element, so that the message's own size is the limit. But a text or body
whose length is below -1 makes it go back in the message and read the same bytes again, without end.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary

__all__ = ["bound_parser"]

_array, _read, _skip = ua_binary.unpack_uatype_array, Buffer.read, Buffer.skip


def bound_parser() -> None:
    """Have the library refuse both; doing it twice is harmless."""
    ua_binary.unpack_uatype_array = _bounded
    Buffer.read, Buffer.skip = _read_on, _skip_on


def _bounded(vtype: Any, data: Any) -> Any:
    if vtype is ua.VariantType.Null:
        raise ua.UaError("an array of nothing")
    return _array(vtype, data)


def _read_on(buffer: Buffer, size: int) -> bytes:
    _check(size)
    found: bytes = _read(buffer, size)
    return found


def _skip_on(buffer: Buffer, size: int) -> None:
    _check(size)
    _skip(buffer, size)


def _check(size: int) -> None:
    if size < 0:
        raise ua.UaError(f"a length of {size} bytes")
