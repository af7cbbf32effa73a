"""Which JetPack and TensorRT belong to a Jetson Linux (L4T) release.

Source: NVIDIA's JetPack release notes and download archive, as of November 2026. A release that is
not listed is said to be unknown, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JetPack", "jetpack_of"]


@dataclass(frozen=True, slots=True)
class JetPack:
    """One JetPack line."""

    l4t: str  # leading part of the Jetson Linux release, "36.4"
    name: str  # "6.2"
    tensorrt: str  # leading part of the TensorRT version that it brings, "10.3"
    python: str
    supported: bool  # whether gasedge runs on the Python that it ships


# Newest prefix first: the first one that fits counts.
_LINES = (
    JetPack("39.2", "7.2", "10.16", "3.12", supported=True),
    JetPack("38.4", "7.1", "10.13", "3.12", supported=True),
    JetPack("38.2", "7.0", "10.13", "3.12", supported=True),
    JetPack("36.5", "6.2.2", "10.3", "3.10", supported=True),
    JetPack("36.4.3", "6.2", "10.3", "3.10", supported=True),
    JetPack("36.4.4", "6.2.1", "10.3", "3.10", supported=True),
    JetPack("36.4", "6.1 or 6.2", "10.3", "3.10", supported=True),
    JetPack("36.3", "6.0", "8.6", "3.10", supported=True),
    JetPack("35", "5.x", "8.5", "3.8", supported=False),
)


def jetpack_of(l4t: str) -> JetPack | None:
    """The JetPack line of a Jetson Linux release such as "36.4.3", None for one not listed."""
    wanted = l4t.split(".")
    for line in _LINES:
        prefix = line.l4t.split(".")
        if wanted[: len(prefix)] == prefix:
            return line
    return None
