"""What clocks do: step by an hour, forward and back. All processes of the daemon see it at once."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.tags import HealthCode

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows"]

_OFFSET = "clock"
_SOURCE = Path(__file__).with_name("step_clock.c")


def why_no_clock() -> str:
    """Why the clock cannot be stepped here, or ""."""
    return "" if shutil.which("cc") else "needs a C compiler: apt-get install gcc libc6-dev"


def _environment(rig: Rig) -> dict[str, str]:
    """A wall clock of the daemon's own; the monotonic one is the machine's."""
    folder = rig.folder
    library = folder / "step_clock.so"
    built = subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise WrongError(f"{_SOURCE.name}: {built.stderr.strip()}")
    _step(folder, 0)
    return {"LD_PRELOAD": str(library), "GASEDGE_CLOCK": str(folder / _OFFSET)}


def _step(folder: Path, seconds: int) -> None:
    """Set by how much the wall clock is off; in place, because it is mapped."""
    with (folder / _OFFSET).open("r+b" if (folder / _OFFSET).exists() else "wb") as file:
        file.write(struct.pack("=q", seconds))


_SETTING = Setting("clock", environment=_environment)


def rows() -> Iterator[Fault]:
    """An hour forward, and an hour back."""
    for name, seconds in (("an hour forward", 3600), ("an hour back", -3600)):
        yield _row(name, seconds)


def _row(name: str, seconds: int) -> Fault:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        _step(rig.folder, seconds)
        yield time.monotonic()
        _step(rig.folder, 0)

    return Fault(
        "clock",
        name,
        "a library under all its processes steps their wall clock, and back",
        _SETTING,
        do,
        Shown.HONEST,
        seen=HealthCode.CLOCK_BAD,
        other=Shown.HONEST,
        hold_s=8.0,
        needs=why_no_clock,
    )
