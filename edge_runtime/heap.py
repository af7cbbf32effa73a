"""Large pieces of memory go back to the system as soon as they are freed.

glibc raises its limit of what is "large" to the largest piece ever freed, up to 32 MB. A password's
hash takes 16 MB: after the first log-in the heap of each thread that hashed keeps that much, and
each small piece that comes to lie in it makes the next hash grow the heap anew.
"""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back_large_pieces"]

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3); setting it keeps it from being raised
_LARGE = 1 << 20  # bytes


def give_back_large_pieces() -> None:
    """For this process, from now on; where the C library has no such limit, nothing is done."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
