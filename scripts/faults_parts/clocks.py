"""What clocks do: step by an hour, forward and back. All processes of the daemon see it at once."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.tags import HealthCode

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows"]

_OFFSET = "clock"


def why_no_clock() -> str:
    """Why the clock cannot be stepped here, or ""."""
    return "" if _library() else "needs libfaketime: apt-get install libfaketime"


def _library() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def _environment(folder: Path) -> dict[str, str]:
    """A wall clock of the daemon's own; the monotonic one is the machine's."""
    (folder / _OFFSET).write_text("+0\n")
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(folder / _OFFSET),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


_SETTING = Setting("clock", environment=_environment)


def rows() -> Iterator[Fault]:
    """An hour forward, and an hour back."""
    for name, offset in (("an hour forward", "+3600"), ("an hour back", "-3600")):
        yield _row(name, offset)


def _row(name: str, offset: str) -> Fault:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        file = rig.folder / _OFFSET
        file.write_text(f"{offset}\n")
        yield time.monotonic()
        file.write_text("+0\n")

    return Fault(
        "clock",
        name,
        "libfaketime steps the wall clock of all processes",
        _SETTING,
        do,
        Shown.HONEST,
        seen=HealthCode.CLOCK_BAD,
        other=Shown.HONEST,
        hold_s=8.0,
        needs=why_no_clock,
    )
