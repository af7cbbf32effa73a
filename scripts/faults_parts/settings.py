"""A configuration that somebody changes while the daemon runs by it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["rows"]

_SETTING = Setting("configuration")


def rows() -> Iterator[Fault]:
    """Whole and broken, with and without a process that must start anew meanwhile."""
    for name, how, change in (
        ("changed", "a camera is renamed", lambda text: text.replace("camera0", "renamed")),
        ("half written", "its second half is cut off", lambda text: text[: len(text) // 2]),
        ("removed", "the file is emptied", lambda _: ""),
    ):
        for role in ("", "frames", "plant"):
            then = f", then {role} is killed" if role else ""
            yield Fault(
                "configuration",
                f"{name}{then}",
                f"{how}{then}",
                _SETTING,
                _changed(change, role),
                Shown.HONEST if role else Shown.WATCHED,
                other=Shown.HONEST if role else Shown.WATCHED,
                hold_s=4.0,
            )


def _changed(
    change: Callable[[str], str], role: str
) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        text = rig.daemon.config.read_text()
        rig.daemon.config.write_text(change(text))
        try:
            if role:
                os.kill(rig.process(role), signal.SIGKILL)
            yield time.monotonic()
            rig.settle(60.0)  # by itself: nobody puts the file right first
        finally:
            rig.daemon.config.write_text(text)

    return do
