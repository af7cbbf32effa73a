"""Files that are whole or not there: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import GasedgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "move_file",
    "new_file",
    "new_folder",
    "remove_file",
    "sha256_of_bytes",
    "sha256_of_file",
    "whole_file",
    "write_bytes",
    "write_text",
]

_PARTIAL = ".partial-"  # begins with a dot: no stage takes a hidden file for one of its own
_NOT_WRITABLE = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


@contextlib.contextmanager
def _plain_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GasedgeError(
                f"{path}: no space left on this disk; nothing was kept, free some and run again"
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise GasedgeError(f"{path}: cannot be written ({error.strerror})") from error
        raise


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int, suffix: str = "") -> Iterator[Path]:
    """As `new_file`, in a folder that is there and with the disk's errors as they come.

    Args:
        path: the file.
        mode: of its permissions, once it is there; until then nobody else may read it.
        suffix: of the temporary file.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, suffix=suffix, dir=path.parent)  # mode 0600
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(mode)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving without an error it becomes `path`.

    The temporary file has the suffix of `path`, so that encoders that go by it work.
    """
    path = Path(path)
    with _plain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, mode=0o666 & ~_umask(), suffix=path.suffix) as partial:
            yield partial


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on leaving without an error it becomes `path`.

    Raises:
        GasedgeError: when `path` is already there and is not an empty folder.
    """
    path = Path(path)
    with _plain_disk_errors(path):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise GasedgeError(f"{path}: is already there; remove it or give another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=path.parent))
        try:
            yield partial
            partial.chmod(0o777 & ~_umask())
            for file in partial.rglob("*"):
                if file.is_file():
                    with file.open("rb+") as written:
                        os.fsync(written.fileno())
            if path.exists():
                path.rmdir()
            partial.replace(path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def move_file(source: Path, target: Path) -> None:
    """Rename a file, which stays on its disk, and see that the disk has it.

    Raises:
        GasedgeError: when the disk refuses.
    """
    with _plain_disk_errors(target):
        source.replace(target)
        _sync_folder(target.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, and see that the disk has it.

    Raises:
        GasedgeError: when the disk refuses.
    """
    with _plain_disk_errors(path), contextlib.suppress(FileNotFoundError):
        path.unlink()
        _sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with new_file(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode())


def sha256_of_bytes(data: bytes) -> str:
    """SHA-256 of `data`, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
