"""Sets that calibration must not touch, beside the control set: validation, test, another site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.card import Apart, FrameHash
from calibration.frames import some, study
from contract.data_folder import read_stems
from contract.errors import InputError
from contract.pictures import picture_folder, pictures_in

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.frames import FrameFacts

__all__ = ["ApartSet", "open_apart"]


@dataclass(frozen=True, slots=True)
class ApartSet:
    """Pictures of one set; their masks are not looked at."""

    name: str
    facts: tuple[FrameFacts, ...]

    def as_recorded(self) -> Apart:
        """Its name and hashes, for the card."""
        return Apart(
            name=self.name,
            pictures=tuple(FrameHash(name=f.path.name, sha256=f.sha256) for f in self.facts),
        )


def open_apart(path: Path, *folders: Path) -> ApartSet:
    """Study a set to hold apart.

    Args:
        path: a folder of pictures, or a list of stems.
        folders: where a list's pictures may lie; the first that holds them all is taken.

    Raises:
        InputError: when the folder holds no picture, or no folder holds those of the list.
    """
    if path.is_dir():
        files = pictures_in(picture_folder(path))
        return ApartSet(path.name, tuple(study(files, doing=f"pictures of {path.name}")))
    stems, missing = set(read_stems(path)), ""
    for folder in folders:
        by_stem = {file.stem: file for file in pictures_in(picture_folder(folder))}
        if not (absent := sorted(stems - by_stem.keys())):
            files = [by_stem[stem] for stem in sorted(stems)]
            return ApartSet(path.name, tuple(study(files, doing=f"pictures of {path.name}")))
        missing = missing or f"{folder} holds no picture {some(absent)}"
    raise InputError(f"{path}: {missing}; a list names pictures of the control or frames folder")
