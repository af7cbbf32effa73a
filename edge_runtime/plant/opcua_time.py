"""Points in time as asyncua takes them."""

from __future__ import annotations

import datetime as dt

__all__ = ["time_from_ns"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def time_from_ns(ns: int) -> dt.datetime:
    """From ns since 1970 UTC, to the microsecond."""
    return _EPOCH + dt.timedelta(microseconds=ns // 1000)
