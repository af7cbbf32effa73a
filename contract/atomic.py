"""Files that are whole or not there: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import GasedgeError, NotKeptError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "PARTIAL",
    "make_folder",
    "move_file",
    "new_file",
    "new_folder",
    "remove_file",
    "sha256_of_bytes",
    "sha256_of_file",
    "sync_path",
    "sync_tree",
    "whole_file",
    "write_bytes",
    "write_text",
]

PARTIAL = ".partial-"
"""Begin of the names of what is not finished; no stage takes a hidden file for one of its own."""
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
            raise NotKeptError(
                f"{path}: no space left on this disk; nothing was kept, free some and run again"
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise NotKeptError(f"{path}: cannot be written ({error.strerror})") from error
        raise


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int, suffix: str = "", own: bool = False) -> Iterator[Path]:
    """As `new_file`, in a folder that is there and with the disk's errors as they come.

    What root writes stays the old file's owner's, or is the folder's owner's when it is new: a
    service that runs as another user goes on reading what a person changes with sudo.

    Args:
        path: the file.
        mode: of its permissions, once it is there; until then nobody else may read it.
        suffix: of the temporary file.
        own: whether it is for who writes it, root included.

    Raises:
        OSError: when it cannot be written; what was there stays.
    """
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=suffix, dir=path.parent)  # mode 0600
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        # the folder may be another user's: a link that he puts here instead changes no other file
        written = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(written).st_nlink != 1:
                raise OSError(errno.EPERM, "another file stands in its place", str(partial))
            os.fchmod(written, mode)
            if not own:
                _hand_over(written, path)
            os.fsync(written)
        finally:
            os.close(written)
        partial.replace(path)
        sync_path(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving without an error it becomes `path`.

    The temporary file has the suffix of `path`, so that encoders that go by it work.
    """
    path = Path(path)
    with _plain_disk_errors(path):
        make_folder(path.parent)
        with whole_file(path, mode=_mode_for(path), suffix=path.suffix) as partial:
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
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=path.parent))
        try:
            yield partial
            partial.chmod(0o777 & ~_umask())
            sync_tree(partial)
            if path.exists():
                path.rmdir()
            partial.replace(path)
            sync_path(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def move_file(source: Path, target: Path) -> None:
    """Rename a file, which stays on its disk, and see that the disk has it.

    Raises:
        NotKeptError: when the disk refuses.
    """
    with _plain_disk_errors(target):
        source.replace(target)
        sync_path(target.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, and see that the disk has it.

    Raises:
        NotKeptError: when the disk refuses.
    """
    with _plain_disk_errors(path), contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_path(path.parent)


def sync_path(path: Path) -> None:
    """See that the disk has a file, or the names in a folder.

    Raises:
        OSError: when the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """See that the disk has every file below `folder`, and the names of all.

    Raises:
        OSError: when the disk refuses.
    """
    for root, _, names in os.walk(folder, topdown=False):
        for file in (Path(root, name) for name in names):
            if file.is_file() and not file.is_symlink():
                sync_path(file)
        sync_path(Path(root))


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


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it; what root makes is the owner's of the one that was there.

    Args:
        path: of the folder, which may be there.
        mode: of its permissions, less the umask.

    Raises:
        OSError: when it cannot be made.
    """
    made = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for each in reversed(made):
        handle = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _hand_over(handle, each)
        finally:
            os.close(handle)


def _hand_over(handle: int, path: Path) -> None:
    """What root opened becomes its owner's who has `path`, or else the folder of it."""
    if os.geteuid() != 0:
        return
    owner = _plain(path) or path.parent.stat()
    with contextlib.suppress(OSError):  # root of a container, or of a server's client, may not
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _mode_for(path: Path) -> int:
    """What a new file may have; one that root writes anew is no more closed or open than before."""
    old = _plain(path) if os.geteuid() == 0 else None
    return 0o666 & ~_umask() if old is None else old.st_mode & 0o777


def _plain(path: Path) -> os.stat_result | None:
    """How a plain file stands there."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        return found if stat.S_ISREG(found.st_mode) else None
    return None


def _umask() -> int:
    """Asked without being set, which would spoil what another thread makes meanwhile."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return int(next(each for each in lines if each.startswith(b"Umask:")).split()[1], 8)
    current = os.umask(0o022)  # no Linux
    os.umask(current)
    return current
