"""Which events go so that the rest fits: the oldest first, by age, number, bytes and free space."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_runtime.plant.config import EvidenceConfig

__all__ = ["Held", "Room", "doomed", "held_in", "make_room"]

_log = logging.getLogger(__name__)

_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Held:
    """An event that is on the disk."""

    name: str
    bytes: int
    at_s: float  # UTC, when it was written


@dataclass(frozen=True, slots=True)
class Room:
    """How the disk stands after room was made."""

    removed: list[str]
    is_short: bool  # even without any old event there is less free than is to stay free


def doomed(
    held: Sequence[Held], config: EvidenceConfig, *, now_s: float | None, free_bytes: int
) -> list[str]:
    """Names of the events that must go, the oldest first.

    Args:
        held: all events.
        config: the limits.
        now_s: UTC, s since 1970; None while nobody knows: then age counts for nothing.
        free_bytes: of the disk.
    """
    in_order = sorted(held, key=lambda each: (each.at_s, each.name))
    left, total = len(in_order), sum(each.bytes for each in in_order)
    oldest_s = -math.inf if now_s is None else now_s - config.keep_days * 86_400
    # where others fill the disk, removing evidence would not help: it stays, and clips are left out
    floor = config.free_mb * _MB if free_bytes + total >= config.free_mb * _MB else 0
    gone = []
    for each in in_order:
        too_many = left > config.keep_events or total > config.keep_mb * _MB
        if not (too_many or each.at_s < oldest_s or free_bytes < floor):
            break
        gone.append(each.name)
        left, total, free_bytes = left - 1, total - each.bytes, free_bytes + each.bytes
    return gone


def held_in(root: Path) -> list[Held]:
    """Every event below `root`; folders that are being written are none."""
    found = []
    with contextlib.suppress(OSError), os.scandir(root) as folders:
        for folder in folders:
            if folder.name.startswith(".") or not folder.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError), os.scandir(folder) as files:
                size = sum(each.stat(follow_symlinks=False).st_size for each in files)
                found.append(Held(folder.name, size, folder.stat().st_mtime))
    return found


def make_room(config: EvidenceConfig, now_s: float | None) -> Room:
    """Remove what the limits do not allow.

    Raises:
        OSError: when the disk cannot be asked.
    """
    free_bytes = shutil.disk_usage(config.folder).free
    removed = []
    for name in doomed(held_in(config.folder), config, now_s=now_s, free_bytes=free_bytes):
        _log.info("evidence %s makes room", name)
        shutil.rmtree(config.folder / name, ignore_errors=True)
        if not (config.folder / name).exists():
            removed.append(name)
    free_bytes = shutil.disk_usage(config.folder).free
    return Room(removed, is_short=free_bytes < config.free_mb * _MB)
