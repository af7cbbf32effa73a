"""Whether a daemon of this user makes progress, asked from outside: for a container's health check.

The daemon's parent writes into its own folder what feeds systemd's watchdog, too. Times are of the
monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PREFIX", "SERVICE", "Health", "health", "mark_progress"]

PREFIX = "gasedge-"
"""How the folder of a daemon is called, in the folder for temporary files."""
SERVICE = Path("/run/gasedge")
"""Folder for temporary files of the service of systemd."""
_MARK = "progress"
_OLD_S = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """How a daemon does."""

    ok: bool
    text: str


def mark_progress(folder: Path, now_s: float, standing: str) -> None:
    """Write down that every process made progress, or is being started anew as `standing` says."""
    with contextlib.suppress(OSError):  # a full disk is told by those whom it concerns
        (folder / _MARK).write_text(f"{now_s:.3f}\n{standing}\n", encoding="utf-8")


def health(now_s: float, temporary: Path | None = None, service: Path = SERVICE) -> Health:
    """The health of this user's daemon that made progress last, or of the service's.

    Args:
        now_s: monotonic time.
        temporary: the folder for temporary files; None is this process' own.
        service: the service's own; whoever may look into it may know.
    """
    found: list[tuple[float, str]] = []
    own = (temporary or Path(tempfile.gettempdir())).glob(f"{PREFIX}*/{_MARK}")
    for mark in (*own, *service.glob(f"{PREFIX}*/{_MARK}")):
        try:
            if mark.stat().st_uid != os.getuid() and not mark.is_relative_to(service):
                continue
            said, _, text = mark.read_text(encoding="utf-8").partition("\n")
            at_s = float(said)
        except (OSError, ValueError):  # gone meanwhile, or half written
            continue
        if at_s <= now_s:  # or it is left from before the machine started
            found.append((at_s, text.strip()))
    if not found:
        text = "no daemon of this user runs; that of the service: sudo gasedge health"
        return Health(ok=False, text=text)
    at_s, standing = max(found)
    if now_s - at_s > _OLD_S:
        return Health(
            ok=False, text=f"no progress for {now_s - at_s:.0f} s; {standing}".rstrip("; ")
        )
    return Health(ok=not standing, text=standing or "every process serves")
