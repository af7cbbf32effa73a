"""One row of the table: a fault, how it is brought about, and what must be seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.tags import HealthCode

from .reading import PATIENCE_S, Shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .rig import Rig, Setting

__all__ = ["Fault", "Outcome"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row. `do` brings the fault about, yields the moment (monotonic s), and ends it."""

    group: str
    name: str
    how: str
    setting: Setting
    do: Callable[[Rig], AbstractContextManager[float]]
    shown: Shown  # of the first camera, from two seconds on until the fault ends
    told: HealthCode = field(default=HealthCode(0))  # bits that stand with it
    seen: HealthCode = field(default=HealthCode(0))  # bits that stand for a moment at least
    other: Shown = Shown.WATCHED  # of the second camera
    told_in_s: float = PATIENCE_S  # bits, where the state itself does not change
    breaks: bool = False  # a file of records: log and journal must tell
    hold_s: float = 4.0
    recover_s: float = 30.0
    needs: Callable[[], str] = field(default=lambda: "")  # why it cannot be tried here, or ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a row."""

    fault: Fault
    detected_s: float | None
    shown: str
    recovered_s: float | None
    lost: str  # "0", or what
    faults: tuple[str, ...]  # why the row fails
    skipped: str = ""  # why it was not tried
    times: int = 1
