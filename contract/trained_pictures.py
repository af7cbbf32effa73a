"""`training/pictures.txt`: the SHA-256 of every file that a bundle's network was trained on.

Without it nobody can say whether a score was measured on pictures that the network knows. It finds
the same file under any name, and no copy that was packed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.atomic import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from contract.bundle import Bundle

__all__ = ["TRAINED_PICTURES", "trained_among", "trained_pictures"]

TRAINED_PICTURES = "training/pictures.txt"


def trained_pictures(hashes: Iterable[str]) -> bytes:
    """The file's bytes: one hash a line."""
    return "".join(f"{each}\n" for each in sorted(hashes)).encode()


def trained_among(bundle: Bundle, files: Iterable[Path]) -> int | None:
    """How many of some picture files the network was trained on; None where that is not known."""
    if TRAINED_PICTURES not in bundle.manifest.files:
        return None
    known = set(bundle.read(TRAINED_PICTURES).decode().split())
    return sum(sha256_of_file(file) in known for file in files)
