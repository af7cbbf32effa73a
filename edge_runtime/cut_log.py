"""Whether the database's log lost its end: what it held is gone, and SQLite cannot tell.

SQLite takes every commit that it finds in its log and ends at the first that is not whole, so that
a log which was cut looks like one that was never longer. Its index, `-shm`, knows how many pages
were committed, and outlives the process (sqlite.org/walformat.html, sections 2.1 and 4.1).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pages_cut_off"]

_LOG_HEAD = 32
_FRAME_HEAD = 24
_SALTS = slice(16, 24)  # of the log's head
# version, unused, changes, whether set up, whether big-endian, page size, frames, pages,
# check sums of frames, salts, check sums: twice, then how many frames the file has already
_INDEX = struct.Struct("=IIIBBHII8s8s8s")
_VERSION = 3_007_000
_IN_THE_FILE = struct.Struct("=I")


def pages_cut_off(database: Path) -> int:
    """Pages that were committed to the log of `database` and are in neither of the two any more.

    0 where the index is not there, not whole or of another log: a start of the machine may leave it
    so.
    """
    try:
        index = database.with_name(database.name + "-shm").read_bytes()
    except OSError:
        return 0
    try:
        log = database.with_name(database.name + "-wal").read_bytes()
    except OSError:
        log = b""
    size = _INDEX.size
    if len(index) < 2 * size + _IN_THE_FILE.size or index[:size] != index[size : 2 * size]:
        return 0
    version, _, _, is_set_up, _, page, frames, _, _, salts, _ = _INDEX.unpack(index[:size])
    if version != _VERSION or not is_set_up or (log[_SALTS] not in (salts, b"")):
        return 0
    page = (page & 0xFE00) + ((page & 1) << 16)  # 65536 stands there as 1
    whole = max(0, len(log) - _LOG_HEAD) // (_FRAME_HEAD + int(page))
    (in_the_file,) = _IN_THE_FILE.unpack_from(index, 2 * size)
    return max(0, int(frames) - max(whole, int(in_the_file)))
