"""Bring a bundle from outside into a folder of ours: from a tar file or a folder, nothing trusted.

Only plain files and folders come in, under plain names, few and small enough. A tar file is read
header by header with a fixed amount of memory; what a plain ustar archive has no need of, such as
links, devices, sparse files, long-name and pax records, is refused, not interpreted.
"""

from __future__ import annotations

import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from contract.bundle import MANIFEST
from contract.errors import InputError, IntegrityError, NotKeptError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Limits", "unpack"]

_BLOCK = 512
_PIECE = 1 << 20
_END = bytes(_BLOCK)
_LONGEST_NAME = 200
_DEEPEST = 4
_FILE, _FOLDER = (b"0", b"\0"), b"5"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may come in."""

    files: int = 1000  # and folders
    bytes: int = 2 << 30


@dataclass(slots=True)
class _Room:
    """What came in so far."""

    source: Path
    limits: Limits
    seen: set[str]
    files: int = 0
    bytes: int = 0

    def admit(self, name: str, size: int) -> None:
        """Count one more file or folder.

        Raises:
            IntegrityError: when its name, its size or their number is not allowed.
        """
        _check_name(self.source, name)
        if name.lower() in self.seen:  # a file system may take both for one
            raise IntegrityError(f"{self.source}: holds {name!r} twice")
        self.seen.add(name.lower())
        self.files, self.bytes = self.files + 1, self.bytes + size
        if self.files > self.limits.files:
            raise IntegrityError(f"{self.source}: holds more than {self.limits.files} files")
        if self.bytes > self.limits.bytes:
            raise IntegrityError(f"{self.source}: holds more than {self.limits.bytes} bytes")


LIMITS = Limits()


def unpack(source: Path, into: Path, limits: Limits = LIMITS) -> None:
    """Copy a bundle into the empty folder `into`; it is not verified yet.

    Args:
        source: a bundle's folder, or a tar file of one.
        into: an empty folder that only we write to.
        limits: of what comes in.

    Raises:
        InputError: when `source` is neither.
        IntegrityError: when anything in it is not allowed.
        NotKeptError: when the disk does not take it.
    """
    room = _Room(source, limits, set())
    try:
        if source.is_dir():
            found = _from_folder(source, room)
        elif source.is_file():
            found = _from_tar(source, room)
        else:
            raise InputError(f"{source}: is no bundle: there is no such folder or tar file")
        for name, mode, pieces in found:
            _write(into, name, mode, pieces)
    except OSError as error:
        if error.filename is not None and str(error.filename).startswith(str(source)):
            raise IntegrityError(f"{source}: cannot be read ({error.strerror})") from error
        if isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            raise IntegrityError(f"{source}: holds a file where it holds a folder, too") from error
        raise NotKeptError(f"{into}: cannot be written ({error.strerror})") from error
    _lift(source, into)


Found = tuple[str, int, "Iterator[bytes]"]


def _from_tar(source: Path, room: _Room) -> Iterator[Found]:
    with source.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            if block == _END:
                return
            if len(block) < _BLOCK:
                raise IntegrityError(f"{source}: is cut off, or is no tar file; fetch it again")
            try:
                member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            except (tarfile.HeaderError, ValueError) as error:
                raise IntegrityError(f"{source}: is no plain tar file ({error})") from error
            kind = block[156:157]
            if kind not in (*_FILE, _FOLDER):
                raise IntegrityError(
                    f"{source}: holds {member.name!r} of type {kind!r}; only plain files and "
                    "folders may be there: pack it by gasedge bundle, or tar --format=ustar"
                )
            name = member.name.removeprefix("./").rstrip("/")
            is_folder = kind == _FOLDER or member.name.endswith("/")
            if member.size < 0 or (is_folder and member.size):
                raise IntegrityError(f"{source}: {name!r} has a size of {member.size} bytes")
            if is_folder and name in ("", "."):
                continue
            room.admit(name, member.size)
            if is_folder:
                yield name, stat.S_IFDIR, iter(())
                continue
            yield name, stat.S_IFREG, _exactly(file, member.size, source)
            file.seek(-member.size % _BLOCK, os.SEEK_CUR)


def _exactly(file: IO[bytes], size: int, source: Path) -> Iterator[bytes]:
    while size > 0:
        piece = file.read(min(_PIECE, size))
        if not piece:
            raise IntegrityError(f"{source}: is cut off; fetch it again")
        size -= len(piece)
        yield piece


def _from_folder(source: Path, room: _Room) -> Iterator[Found]:
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(source / below) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                name = f"{below}{entry.name}"
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    room.admit(name, 0)
                    waiting.append(f"{name}/")
                    yield name, stat.S_IFDIR, iter(())
                elif stat.S_ISREG(found.st_mode):
                    room.admit(name, found.st_size)
                    yield name, stat.S_IFREG, _of_file(source / name, found.st_size, source)
                else:
                    raise IntegrityError(
                        f"{source}: {name!r} is no plain file ({stat.filemode(found.st_mode)})"
                    )


def _of_file(path: Path, size: int, source: Path) -> Iterator[bytes]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IntegrityError(f"{path}: was changed while it was read")
        yield from _exactly(file, size, source)


def _write(into: Path, name: str, mode: int, pieces: Iterator[bytes]) -> None:
    place = into / name
    if stat.S_ISDIR(mode):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(place, flags, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)


def _lift(source: Path, into: Path) -> None:
    """Take a bundle that stands in a folder of its own up to the top."""
    if (into / MANIFEST).is_file():
        return
    entries = list(into.iterdir())
    if len(entries) != 1 or not (entries[0] / MANIFEST).is_file():
        raise InputError(f"{source}: holds no bundle (no {MANIFEST}); make one: gasedge export")
    inner = into / ".inner"
    entries[0].rename(inner)
    for each in list(inner.iterdir()):
        each.rename(into / each.name)
    inner.rmdir()


def _check_name(source: Path, name: str) -> None:
    parts = PurePosixPath(name)
    plain = (
        str(parts) == name
        and not parts.is_absolute()
        and not any(part.startswith(".") for part in parts.parts)
        and name.isprintable()
        and "\\" not in name
        and len(name.encode()) <= _LONGEST_NAME
        and len(parts.parts) <= _DEEPEST + 1
    )
    if not plain:
        raise IntegrityError(f"{source}: holds the forbidden name {name[:_LONGEST_NAME]!r}")
