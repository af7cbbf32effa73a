"""Files for this user alone, whole or not there: keys and password hashes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["write_private"]


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` with mode 0600; it never stands there in part or open to others.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
