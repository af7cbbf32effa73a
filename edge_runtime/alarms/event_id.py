"""Ids of events: UUIDs of version 7, which sort by their time (RFC 9562, section 5.7)."""

from __future__ import annotations

import secrets
import uuid

__all__ = ["event_id", "uuid7"]


def uuid7(utc_ns: int, random: int) -> str:
    """The UUID of an instant.

    Args:
        utc_ns: UTC, ns since 1970.
        random: 74 bits that no other event of that millisecond has.
    """
    milliseconds = utc_ns // 1_000_000 & (1 << 48) - 1
    high, low = random >> 62 & 0xFFF, random & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def event_id(utc_ns: int) -> str:
    """A new id."""
    return uuid7(utc_ns, secrets.randbits(74))
