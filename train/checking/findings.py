"""What stands out in a data folder: a fault that must be mended, or a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Findings"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out, with what it stands out on."""

    kind: str
    must_mend: bool
    says: str  # what it means and what to do
    files: tuple[str, ...]


class Findings:
    """Gathers files by what was found on them; nothing found on none is no finding."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool, str], list[str]] = {}

    def fault(self, kind: str, says: str, files: Iterable[str]) -> None:
        """What must be mended."""
        self._add((kind, True, says), files)

    def note(self, kind: str, says: str, files: Iterable[str]) -> None:
        """What may be as it should."""
        self._add((kind, False, says), files)

    def all(self) -> tuple[Finding, ...]:
        """Every finding, faults first."""
        found = [Finding(*key, tuple(files)) for key, files in self._found.items()]
        return tuple(sorted(found, key=lambda each: not each.must_mend))

    def _add(self, key: tuple[str, bool, str], files: Iterable[str]) -> None:
        if some := list(files):
            self._found.setdefault(key, []).extend(some)
