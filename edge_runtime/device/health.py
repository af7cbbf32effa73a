"""Whether a daemon of this user makes progress, asked from outside: for a container's health check.

The daemon's parent writes into its own folder what feeds systemd's watchdog, too. Times are of the
monotonic clock, which all processes of a machine share.

Root may ask, too, and anybody may put anything into the folder for temporary files: what is no
plain file in a folder of the daemon's own user is not looked into.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import IntegrityError
from contract.plain_file import read_plain
from contract.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PREFIX", "SERVICE", "Health", "health", "mark_progress", "missed_in"]

PREFIX = "gasedge-"
"""How the folder of a daemon is called, in the folder for temporary files."""
SERVICE = Path("/run/gasedge")
"""Folder for temporary files of the service of systemd."""
_MARK = "progress"
_OLD_S = 60.0
_LONGEST = 1 << 12  # bytes


@dataclass(frozen=True, slots=True)
class Health:
    """How a daemon does."""

    ok: bool
    text: str


def mark_progress(folder: Path, now_s: float, standing: str, missed: Sequence[str] = ()) -> None:
    """Write down that the service makes progress.

    Args:
        folder: of the daemon.
        now_s: monotonic time.
        standing: of the processes that do not serve.
        missed: those beside frames and plant that have not served for too long.
    """
    text = f"{now_s:.3f}\n{standing}\n{' '.join(missed)}\n"
    with contextlib.suppress(OSError):  # a full disk is told by those whom it concerns
        (folder / _MARK).write_text(text, encoding="utf-8")


def missed_in(folder: Path) -> list[str] | None:
    """The processes that were marked as missed; None when nobody can say just now."""
    try:
        return (folder / _MARK).read_text(encoding="utf-8").splitlines()[2].split()
    except (OSError, ValueError, IndexError):  # not yet, or half written
        return None


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
            folder = mark.parent.lstat()
            theirs = folder.st_uid == os.getuid() or mark.is_relative_to(service)
            if not theirs or not stat.S_ISDIR(folder.st_mode):
                continue
            said, text = read_plain(mark, most=_LONGEST).decode().splitlines()[:2]
            at_s = float(said)
        except (OSError, ValueError, IntegrityError):  # gone meanwhile, or half written
            continue
        if at_s <= now_s:  # or it is left from before the machine started
            found.append((at_s, one_line(text.strip())))
    if not found:
        text = "no daemon of this user runs; that of the service: sudo gasedge health"
        return Health(ok=False, text=text)
    at_s, standing = max(found)
    if now_s - at_s > _OLD_S:
        return Health(
            ok=False, text=f"no progress for {now_s - at_s:.0f} s; {standing}".rstrip("; ")
        )
    return Health(ok=not standing, text=standing or "every process serves")
