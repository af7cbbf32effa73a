"""Everything that a device cannot get anew, in one archive, while its daemon runs.

The database is copied by SQLite's own backup, so that it is whole at one instant. In the copy the
name of the numbering of events is forgotten: after it was restored, numbers that were given out
since the backup would be given out again, and receivers would take the new events for the old.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import whole_file
from contract.config import Section
from contract.errors import GasedgeError, InputError
from edge_runtime.database import FILE, SERIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.config import DaemonConfig

__all__ = ["back_up"]

# beside the database: its log, which the copy has in it, and what is made anew
_PARTIAL = ".partial-"  # what is not finished, here and elsewhere
_BESIDE = tuple(f"{FILE}{end}" for end in ("-wal", "-shm", ".lock", ".reserve"))


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
    left_out = plant.evidence.folder if plant.evidence is not None and not evidence else None
    out = out.absolute()
    count = 0
    try:
        with whole_file(out, mode=0o600) as partial, tarfile.open(partial, "w:gz") as archive:
            for path in _everything(_roots(config_path, config), left_out):
                if path not in (out, partial):
                    _add(archive, path)
                    count += 1
    except OSError as error:
        at = error.filename
        if at is not None and not Path(str(at)).name.startswith(_PARTIAL):
            raise InputError(f"{at}: cannot be read ({error.strerror})") from error
        raise GasedgeError(f"{out}: cannot be written ({error.strerror or error})") from error
    return count


def _roots(config_path: Path, config: DaemonConfig) -> list[Path]:
    """Each path that the configuration names, and what stands above it no further."""
    named = {config_path.absolute(), *_paths(config)}
    found = sorted(path for path in named if path.exists())
    return [path for path in found if not any(other in path.parents for other in found)]


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
        if path == left_out or path.name in _BESIDE or path.name.startswith(_PARTIAL):
            continue
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISDIR(mode):
                yield path
                waiting += sorted(path.iterdir(), reverse=True)


def _add(archive: tarfile.TarFile, path: Path) -> None:
    if path.name != FILE:
        archive.add(path, recursive=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE
        _copy_database(path, copy)
        member = archive.gettarinfo(path)
        member.size = copy.stat().st_size
        with copy.open("rb") as file:
            archive.addfile(member, file)


def _copy_database(path: Path, copy: Path) -> None:
    whole = not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.as_uri()}?{'immutable=1' if whole else 'mode=ro'}"
    try:
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("DELETE FROM fact WHERE name = ?", (SERIES,))
            target.commit()
            target.execute("PRAGMA journal_mode = DELETE")  # no log beside the copy
            (found,) = target.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be copied ({error}); see to the disk") from error
    if found != "ok":
        raise GasedgeError(f"{path}: the copy is damaged ({found}); see to the disk")
