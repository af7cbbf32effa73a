"""Writes into the audit journal when a drill begins and ends, as far as the plant process sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from contract.audit import Category, Entry
from contract.tags import HealthCode

if TYPE_CHECKING:
    from contract.alarms import AlarmDesk
    from contract.tags import CameraSnapshot

__all__ = ["DrillAudit"]


class DrillAudit:
    """Follows the mark of a drill in what is published of each camera.

    Args:
        desk: keeps the journal.
    """

    def __init__(self, desk: AlarmDesk) -> None:
        self._desk = desk
        self._drilling: dict[str, bool] = {}

    def look(self, snapshot: CameraSnapshot) -> None:
        """Take in what is published of a camera now."""
        code = HealthCode(cast("int", snapshot.value("Health/Code") or 0))
        drilling = HealthCode.DRILL in code
        before = self._drilling.get(snapshot.camera, False)
        if drilling == before:
            return
        words = ("no drill", "drill")
        entry = Entry(
            Category.COMMAND,
            snapshot.camera,
            origin="gasedge drill on this machine",
            old=words[before],
            new=words[drilling],
        )
        self._desk.note(entry)
        self._drilling[snapshot.camera] = drilling
