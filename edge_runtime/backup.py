"""Everything that a device cannot get anew, in one archive, while its daemon runs.

The database is copied by SQLite's own backup, so that it is whole at one instant. In the copy the
name of the numbering of events is forgotten: after it was restored, numbers that were given out
since the backup would be given out again, and receivers would take the new events for the old.
The secret that seals engines stays outside: an engine runs only where it was built, so that those
of a restored backup are built anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import PARTIAL, whole_file
from contract.built_here import SEALED_BY
from contract.config import Section
from contract.errors import GasedgeError, InputError
from edge_runtime.database import FILE, SERIES
from edge_runtime.second_copy import COPY, TWIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.config import DaemonConfig

__all__ = ["back_up"]

# beside the database: its log, which the copy has in it; and this device's own secret
_STAYS = {SEALED_BY, *(f"{FILE}{end}" for end in ("-wal", "-shm", ".lock", ".reserve"))}
_ANEW = (PARTIAL, COPY, f"{FILE}.mended")  # how the names of what is made anew begin


def back_up(config_path: Path, config: DaemonConfig, out: Path, *, evidence: bool) -> int:
    """Write the archive, for this user alone.

    Args:
        config_path: the configuration's file.
        config: what stands in it, with absolute paths.
        out: a tar file, packed by gzip.
        evidence: whether the folder of evidence goes in.

    Returns:
        How many files and folders are in it.

    Raises:
        InputError: when something cannot be read.
        GasedgeError: when the archive cannot be written.
    """
    plant = config.plant
    left_out = None
    if plant.evidence is not None and not evidence:
        left_out = _plain(plant.evidence.folder)
    out = _plain(out)
    count = 0
    try:
        with (
            whole_file(out, mode=0o600, own=True) as partial,
            tarfile.open(partial, "w:gz") as archive,
        ):
            for path in _everything(_roots(config_path, config), left_out):
                if path not in (out, partial):
                    count += _add(archive, path)
    except OSError as error:
        at = error.filename
        if at is not None and not Path(str(at)).name.startswith(PARTIAL):
            raise InputError(f"{at}: cannot be read ({error.strerror})") from error
        raise GasedgeError(f"{out}: cannot be written ({error.strerror or error})") from error
    return count


def _roots(config_path: Path, config: DaemonConfig) -> list[Path]:
    """Each path that the configuration names, and what stands above it no further.

    Raises:
        InputError: when one is a link: it would come back as nothing, and what it points to is
            where nobody looks for it.
    """
    named = {path: _plain(path) for path in (config_path, *_paths(config))}
    for path, plain in named.items():
        through = path.exists() and not (plain.exists() and plain.samefile(path))
        if path.is_symlink() or through:
            raise InputError(
                f"{path}: is a link or leads back through one, and a backup holds none; name what "
                f"it stands for in the configuration: {os.path.realpath(path)}"
            )
    found = sorted(path for path in set(named.values()) if path.exists())
    return [path for path in found if not any(other in path.parents for other in found)]


def _plain(path: Path) -> Path:
    """A path from the root on without `..`, which tar refuses to unpack."""
    return Path(os.path.normpath(path.absolute()))


def _paths(section: Section) -> Iterator[Path]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Path):
                yield each
            elif isinstance(each, Section):
                yield from _paths(each)


def _everything(roots: list[Path], left_out: Path | None) -> Iterator[Path]:
    """Plain files and folders, a folder before what is in it; links and sockets are left out."""
    waiting = list(reversed(roots))
    while waiting:
        path = waiting.pop()
        if path == left_out or path.name in _STAYS or path.name.startswith(_ANEW):
            continue
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISDIR(mode):
                yield path
                waiting += sorted(path.iterdir(), reverse=True)


def _add(archive: tarfile.TarFile, path: Path) -> bool:
    """Add a file or folder; False when it is gone meanwhile."""
    if path.name != FILE:
        try:
            archive.add(path, recursive=False)
        except FileNotFoundError:  # before anything of it was written
            return False
        return True
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE
        _copy_database(path, copy)
        member = archive.gettarinfo(path)
        member.size = copy.stat().st_size
        with copy.open("rb") as file:
            archive.addfile(member, file)
    return True


def _copy_database(path: Path, copy: Path) -> None:
    whole = not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.as_uri()}?{'immutable=1' if whole else 'mode=ro'}"
    try:
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("DELETE FROM fact WHERE name IN (?, ?)", (SERIES, TWIN))
            target.commit()
            target.execute("PRAGMA journal_mode = DELETE")  # no log beside the copy
            (found,) = target.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be copied ({error}); see to the disk") from error
    if found != "ok":
        raise GasedgeError(f"{path}: the copy is damaged ({found}); see to the disk")
