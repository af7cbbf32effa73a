"""Which distributions are installed because of gasedge: itself, and whatever that needs."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

__all__ = ["Installed", "installed_for", "normal_name"]

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(slots=True)
class Installed:
    """One distribution."""

    distribution: Distribution
    needs: set[str] = field(default_factory=set)  # normal names, of installed ones only


def normal_name(name: str) -> str:
    """A distribution's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_for(root: str) -> dict[str, Installed]:
    """`root`, with all its extras, and every installed distribution that it leads to.

    Environment markers are not evaluated: what they exclude is not installed.

    Returns:
        Normal name -> distribution, in the order of names.
    """
    found: dict[str, Installed] = {}
    waiting: list[tuple[str, frozenset[str] | None]] = [(root, None)]  # None: every extra
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        normal = normal_name(name)
        if (normal, extras) in seen:
            continue
        seen.add((normal, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        entry = found.setdefault(normal, Installed(distribution))
        for needed, asked in _requirements(distribution, extras):
            entry.needs.add(normal_name(needed))
            waiting.append((needed, asked))
    for entry in found.values():
        entry.needs &= found.keys()
    return dict(sorted(found.items()))


def _requirements(
    distribution: Distribution, extras: frozenset[str] | None
) -> Iterator[tuple[str, frozenset[str]]]:
    for text in distribution.requires or ():
        requirement, _, marker = text.partition(";")
        parts = _REQUIREMENT.match(requirement.strip())
        only_for = _EXTRA.findall(marker)
        if parts is None or (only_for and extras is not None and not extras & set(only_for)):
            continue
        asked = (each.strip() for each in (parts[2] or "").split(","))
        yield parts[1], frozenset(each for each in asked if each)
