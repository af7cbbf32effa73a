"""What the OPC UA library would allocate on a stranger's word alone, before anybody logged in.

asyncua 2.1 makes an array of nothing, the type Null of OPC UA Part 6, as long as the message says:
a hundred bytes in any request's header would ask for 2^31 elements, which take 17 GB. Every other
type takes bytes for each element, so that the message's own size is the limit.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.ua import ua_binary

__all__ = ["bound_arrays"]

_original = ua_binary.unpack_uatype_array


def bound_arrays() -> None:
    """Have the library refuse arrays of nothing; doing it twice is harmless."""
    ua_binary.unpack_uatype_array = _bounded


def _bounded(vtype: Any, data: Any) -> Any:
    if vtype is ua.VariantType.Null:
        raise ua.UaError("an array of nothing")
    return _original(vtype, data)
