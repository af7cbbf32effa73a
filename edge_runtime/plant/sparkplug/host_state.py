"""Whether the primary host is there, as its retained STATE message says."""

from __future__ import annotations

import json

__all__ = ["HostState"]


class HostState:
    """One host, as heard over one connection.

    A host that reconnects may have its old will delivered after its new birth: a word with an older
    time than the last one's is ignored.
    """

    def __init__(self) -> None:
        self.online: bool | None = None  # None until it was heard of
        self._timestamp_ms = -1

    def hear(self, payload: bytes) -> bool:
        """Take in a message; whether it was a valid one and not older than the last."""
        try:
            said = json.loads(payload)
            online, timestamp_ms = said["online"], said["timestamp"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if not isinstance(online, bool) or isinstance(timestamp_ms, bool):
            return False
        if not isinstance(timestamp_ms, int) or timestamp_ms < self._timestamp_ms:
            return False
        self.online, self._timestamp_ms = online, timestamp_ms
        return True
