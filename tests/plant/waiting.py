"""Free ports, and waiting for what must become true."""

from __future__ import annotations

import socket
import time


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(truth, *, within_s: float = 30.0):
    """Wait for a true value and return it."""
    deadline = time.monotonic() + within_s
    while True:
        value = truth()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {truth}")
        time.sleep(0.01)
