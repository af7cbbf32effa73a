"""How much memory the processes of this daemon hold, and how much one may hold; from /proc."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["allowed_bytes", "resident_by_role", "resident_bytes"]

_MODULE = b"edge_runtime.daemon"
_SHARE = 0.7  # of the memory that there is: one process must leave the others theirs


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Resident memory of a process; None when it is gone."""
    try:
        pages = (proc / str(pid) / "statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def resident_by_role(parent: int, proc: Path = Path("/proc")) -> dict[str, int]:
    """Resident bytes of the daemon's parent and of its children, by their role."""
    found = {"supervisor": resident_bytes(parent, proc) or 0}
    for folder in proc.glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text(encoding="ascii", errors="replace")
            if int(status.rpartition(")")[2].split()[1]) != parent:
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
            role = words[words.index(_MODULE) + 1].decode()
        except (OSError, ValueError, IndexError):  # gone meanwhile, or none of ours
            continue
        found[role] = resident_bytes(int(folder.name), proc) or 0
    return found


def allowed_bytes(
    memory_mb: int | None, *, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int:
    """What one process may hold before it is ended, before the kernel ends one of its choice.

    Args:
        memory_mb: as configured; None takes a share of what there is.
        proc: the kernel's view of processes.
        cgroup: the cgroup that this process sees as its root; its limit counts where it is lower.
    """
    if memory_mb is not None:
        return memory_mb << 20
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = Path("/")
    try:
        for line in (proc / "self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                own = Path(line[3:])
    except OSError:
        pass
    for place in (cgroup / own.relative_to("/"), cgroup):
        try:
            limit = (place / "memory.max").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit():
            there = min(there, int(limit))
    return int(there * _SHARE)
