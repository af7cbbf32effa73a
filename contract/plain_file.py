"""Read a file from a stranger's folder: a plain file of bounded size, or nothing.

A link could point out of the folder, a pipe would never answer, and a file of gigabytes would take
the memory from the cameras before anybody found that it is no manifest.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from contract.errors import IntegrityError

__all__ = ["read_plain"]


def read_plain(path: Path, *, most: int, follow: bool = False) -> bytes:
    """All bytes of a plain file.

    Args:
        path: the file itself, never a link to one.
        most: bytes that it may have.
        follow: whether `path` may be a link after all: whoever administers this machine named it.

    Raises:
        IntegrityError: when it is missing, cannot be read, is no plain file or is longer.
    """
    if follow:  # Path.resolve would raise RuntimeError at links that go round in a circle
        path = Path(os.path.realpath(path))
    try:
        # a pipe without O_NONBLOCK would wait for its writer
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        said = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise IntegrityError(f"{path}: {said}") from error
    except ValueError as error:  # a zero byte in its name
        raise IntegrityError(f"{str(path)!r}: cannot be read ({error})") from error
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise IntegrityError(f"{path}: is no plain file ({stat.filemode(found.st_mode)})")
        try:
            # `most` may be a stranger's word: room for it is not made before the bytes are there
            data = file.read(found.st_size + 1) if found.st_size <= most else b""
        except OSError as error:
            raise IntegrityError(f"{path}: cannot be read ({error.strerror})") from error
        if found.st_size > most:
            raise IntegrityError(f"{path}: has {found.st_size} bytes, at most {most} may be there")
        if len(data) > found.st_size:
            raise IntegrityError(f"{path}: grew while it was read; try again")
    return data
