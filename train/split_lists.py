"""Read back which picture is on which side, from the lists that a run or a study has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.data_folder import read_stems
from contract.errors import InputError
from train.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["listed_sides"]


def listed_sides(lists: Path, data: str, stems: Collection[str]) -> dict[str, str] | None:
    """Side of each listed picture of a data set; None where the lists do not know the set.

    Args:
        lists: folder of `<data>/train.txt`, `val.txt`, `test.txt`; a list may be empty or absent.
        data: name of the data set.
        stems: that it has.

    Raises:
        InputError: when the folder is not there, or a list names a picture that is not there or
            that another list names too.
    """
    if not lists.is_dir():
        raise InputError(f"{lists}: there is no such folder of split lists")
    if not (lists / data).is_dir():
        return None
    sides: dict[str, str] = {}
    for side in SPLITS:
        file = lists / data / f"{side}.txt"
        if not file.is_file() or not file.stat().st_size:
            continue
        for stem in read_stems(file):
            if stem not in stems:
                raise InputError(f"{file}: names {stem}, which is no picture of {data}")
            if stem in sides:
                raise InputError(f"{file}: names {stem}, which is in {sides[stem]}.txt too")
            sides[stem] = side
    return sides
