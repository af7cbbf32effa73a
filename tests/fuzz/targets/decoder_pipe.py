"""What a decoder process writes: a hostile camera may have taken it over."""

from __future__ import annotations

import contextlib

from edge_runtime.sources.wire import HEADER_BYTES, MAX_PIXELS, Header, Kind
from tests.fuzz.target import BrokenPromiseError, Target


def seeds():
    return [
        Header(Kind.FRAME, 4, 2, 1, 2, 24).pack(),
        Header(Kind.ENDED, 0, 0, 1, 2, 5).pack(),
        Header(Kind.NOTE, 0, 0, 1, 2, 0).pack(),
    ]


def run(data):
    try:
        header = Header.unpack(data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"))
    except ValueError:
        return
    if header.length > 3 * MAX_PIXELS:
        raise BrokenPromiseError(f"{header.length} bytes would be waited for")


@contextlib.contextmanager
def opened():
    yield run


TARGET = Target("a decoder's pipe", opened, seeds, max_bytes=HEADER_BYTES)
