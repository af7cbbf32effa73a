"""`training/pictures.txt`: the SHA-256 of every file that a bundle's network was trained on.

Without it nobody can say whether a score was measured on pictures that the network knows. It finds
the same file under any name, and no copy that was packed anew. A simulated picture, which came from
no file, stands in it by its pixels. A last line says so where there were others before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.atomic import sha256_of_file
from contract.pictures import pixels_sha256, read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from contract.bundle import Bundle

__all__ = ["TRAINED_PICTURES", "TrainedPictures", "trained_among"]

TRAINED_PICTURES = "training/pictures.txt"
_OTHERS = "and-others-that-are-not-known"


@dataclass(frozen=True, slots=True)
class TrainedPictures:
    """What a network was trained on, as far as it is known."""

    hashes: frozenset[str] = frozenset()  # SHA-256 of files, or of pixels that came from no file
    complete: bool = False  # whether it was trained on no others

    def __or__(self, other: TrainedPictures) -> TrainedPictures:
        """What a network was trained on that began with the one and learned the other."""
        return TrainedPictures(self.hashes | other.hashes, self.complete and other.complete)

    def as_bytes(self) -> bytes:
        """The file's content: one hash a line."""
        lines = [*sorted(self.hashes), *([] if self.complete else [_OTHERS])]
        return "".join(f"{each}\n" for each in lines).encode()


def trained_among(bundle: Bundle, files: Iterable[Path]) -> int | None:
    """How many of some picture files the network was trained on; None where that is not known.

    Where it was trained on others too, of which nothing is known, 0 is not known either.
    """
    if TRAINED_PICTURES not in bundle.manifest.files:
        return None
    known = set(bundle.read(TRAINED_PICTURES).decode().split())
    found = sum(
        sha256_of_file(file) in known or pixels_sha256(read_picture(file)) in known
        for file in files
    )
    return found or (None if _OTHERS in known else 0)
