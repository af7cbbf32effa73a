"""Files for one user alone, whole or not there: keys and password hashes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from contract.atomic import whole_file
from contract.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["require_private", "write_private"]


def require_private(path: Path, what: str) -> None:
    """Refuse a file that others may read.

    Args:
        path: the file.
        what: that stands in it, for the message.

    Raises:
        ConfigError: when they may.
        OSError: when there is none.
    """
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ConfigError(
            f"{path}: others may read the {what} (mode {stat.filemode(mode)}); "
            f"run: chmod 600 {path}"
        )


def write_private(path: Path, data: bytes, *, own: bool = False) -> None:
    """Write `data` to `path` with mode 0600; it never stands there in part or open to others.

    Args:
        path: the file.
        data: all of it.
        own: whether it is for who writes it, root included; else root writes for the owner of the
            old file, or of the folder.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    with whole_file(path, mode=0o600, own=own) as partial:
        partial.write_bytes(data)
