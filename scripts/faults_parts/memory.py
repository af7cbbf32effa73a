"""Memory that runs out under a process, and a configuration that changes under way."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["rows"]

_SETTING = Setting("memory")
_GROUPS = Path("/sys/fs/cgroup/memory")  # the first kind of control groups


@functools.cache
def why_no_groups() -> str:
    """Why no control group can be made here, or "": one is tried."""
    group = _GROUPS / f"gasedge-faults-try-{os.getpid()}"
    try:
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text("0")
        finally:
            group.rmdir()
    except OSError as error:
        return f"no memory control group (version 1) can be made here: {error}"
    return ""


def rows() -> Iterator[Fault]:
    """Of the two processes that must not be without."""
    for role in ("frames", "plant"):
        yield Fault(
            "memory",
            f"{role}: none to be had",
            "RLIMIT_AS is set to what it has: every further request fails",
            _SETTING,
            _limited(role),
            Shown.HONEST,
            other=Shown.HONEST,
            hold_s=6.0,
            recover_s=90.0,
        )
        yield Fault(
            "memory",
            f"{role}: killed by the kernel",
            "a control group allows not a page more",
            _SETTING,
            _grouped(role),
            Shown.HONEST,
            other=Shown.HONEST,
            hold_s=4.0,
            recover_s=60.0,
            needs=why_no_groups,
        )


def _limited(role: str) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        pid = rig.process(role)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        size = pages * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
        yield time.monotonic()
        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_AS, unlimited)

    return do


def _grouped(role: str) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        group = _GROUPS / f"gasedge-faults-{role}-{os.getpid()}"
        group.mkdir()
        pid = rig.process(role)
        try:
            (group / "memory.limit_in_bytes").write_text("0")
            (group / "cgroup.procs").write_text(str(pid))
            until_s = time.monotonic() + 10  # what it has stays its own: it must ask for more
            while _is_there(pid):
                if time.monotonic() > until_s:
                    raise WrongError("the kernel did not end the process")
                time.sleep(0.02)
            yield time.monotonic()
        finally:
            _remove(group)

    return do


def _remove(group: Path) -> None:
    """Once the kernel has let go of the last process; its parent may take a while to bury it."""
    until_s = time.monotonic() + 20
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)
        else:
            return


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/statm").read_text().split()[1] != "0"
    except OSError:
        return False
