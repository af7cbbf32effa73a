"""What the processes of a daemon weigh, by the kernel's figures, and how late its tags are."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from faults_parts.rig import Rig

__all__ = ["Weights"]

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Weights:
    """Readings of one daemon, by process and figure.

    Args:
        rig: with the daemon and the client that follows its tags.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._readings: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.ended: list[str] = []  # every process that was there at one look and gone at another
        self._pids = self._family() or {}

    def look(self) -> None:
        """Read all figures once."""
        family = self._family()
        if family is None:
            return
        there = set(family.values())
        self.ended += [name for name, pid in self._pids.items() if pid not in there]
        self._pids = family
        now_s = time.monotonic()
        for name, pid in family.items():
            with contextlib.suppress(OSError, IndexError):
                place = Path(f"/proc/{pid}")
                status = place / "statm"
                self._note(name, "memory MB", now_s, int(status.read_text().split()[1]) * _PAGE_MB)
                for what, folder in (("descriptors", "fd"), ("threads", "task")):
                    self._note(name, what, now_s, sum(1 for _ in (place / folder).iterdir()))
        ages = self._rig.watch.ages_ms()
        if ages:
            self._note("frame to tag", "p50 ms", now_s, float(np.percentile(ages, 50)))
            self._note("frame to tag", "p99 ms", now_s, float(np.percentile(ages, 99)))

    def series(self, *, from_s: float) -> dict[str, tuple[list[float], list[float]]]:
        """Times (monotonic s) and values of each figure from an instant on."""
        found = {}
        for what, readings in sorted(self._readings.items()):
            kept = [each for each in readings if each[0] >= from_s]
            found[what] = [at_s for at_s, _ in kept], [value for _, value in kept]
        return found

    def line(self) -> str:
        """The newest figures in a line."""
        ends = ("memory MB", "p50 ms")
        newest = {k: v[-1][1] for k, v in self._readings.items() if k.endswith(ends)}
        return ", ".join(f"{what} {value:.0f}" for what, value in newest.items())

    def _family(self) -> dict[str, int] | None:
        """Name -> process id; the decoders are numbered in the order of their start.

        None where a process ended under the look itself: the next look finds it gone.
        """
        try:
            family = self._rig.daemon.family()
        except OSError:
            return None
        found: dict[str, int] = {}
        for pid, role in sorted(family.items()):
            name, number = role, 2
            while name in found:
                name, number = f"{role} {number}", number + 1
            found[name] = pid
        return found

    def _note(self, name: str, figure: str, at_s: float, value: float) -> None:
        self._readings[f"{name}: {figure}"].append((at_s, value))
