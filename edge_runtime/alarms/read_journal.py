"""Reading a journal from outside: a running gasedge's, one that has ended, or an export."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from contract.audit import record_from_json
from contract.errors import InputError
from edge_runtime.database import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contract.audit import AuditRecord

__all__ = ["read_records"]

_GIVE = "give the state_dir of [plant], or a JSONL export"
_LAST = "SELECT record FROM (SELECT * FROM audit ORDER BY n DESC LIMIT ?) ORDER BY n"


def read_records(place: Path, *, last: int | None = None) -> Iterator[AuditRecord]:
    """The records of a journal in their order, the first first.

    Args:
        place: `[plant] state_dir`, the file in it, or a JSONL export.
        last: only so many, the newest.

    Raises:
        InputError: when there is none, it cannot be read, or a record is none.
    """
    file = place / FILE if place.is_dir() else place
    try:
        with file.open("rb") as opened:
            is_database = opened.read(6) == b"SQLite"
    except OSError as error:
        raise InputError(
            f"{file}: no audit journal can be read there ({error.strerror}); {_GIVE}"
        ) from error
    texts = _rows(file, last) if is_database else _lines(file, last)
    for text in texts:
        yield record_from_json(text)


def _rows(file: Path, last: int | None) -> Iterator[str]:
    # without its log beside it a file may be read where nothing may be written
    whole = not file.with_name(file.name + "-wal").exists()
    uri = f"{file.absolute().as_uri()}?{'immutable=1' if whole else 'mode=ro'}"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            for (text,) in connection.execute(_LAST, (-1 if last is None else last,)):
                yield str(text)
    except sqlite3.Error as error:
        raise InputError(f"{file}: the audit journal cannot be read ({error})") from error


def _lines(file: Path, last: int | None) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is no audit journal; {_GIVE}") from error
    if lines and not lines[0].startswith("{"):
        raise InputError(f"{file}: is no audit journal; {_GIVE}")
    yield from lines if last is None else lines[-last:]
