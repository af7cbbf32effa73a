"""What time it is, how sure that is, and which start of the machine this is."""

from __future__ import annotations

import ctypes
import time
from functools import cache
from pathlib import Path

from edge_runtime.alarms.machine import Now

__all__ = ["machine_now"]

_TIMEX_BYTES = 256  # struct timex of adjtimex(2) has 208 on 64-bit machines; all 0 asks only
_NOT_SYNCHRONISED = 5  # TIME_ERROR
_ASK_S = 10.0

_asked: dict[str, tuple[float, bool]] = {}


def machine_now() -> Now:
    """This instant."""
    mono_s = time.monotonic()
    at_s, clock_ok = _asked.get("clock", (-_ASK_S, False))
    if mono_s - at_s >= _ASK_S:
        clock_ok = _is_synchronised()
        _asked["clock"] = mono_s, clock_ok
    return Now(mono_s, time.time_ns(), clock_ok, _boot_id())


def _is_synchronised() -> bool:
    """Whether the kernel says that a time server keeps its clock: adjtimex(2)."""
    try:
        state: int = _libc().adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return False
    return 0 <= state < _NOT_SYNCHRONISED


@cache
def _libc() -> ctypes.CDLL:
    # opened once: each opening makes a class that lives until a collection
    return ctypes.CDLL(None)


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
