"""Where the word that evidence was kept goes: to the audit journal and to who listens."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.alarms import Outcome
from contract.audit import Category, Entry
from contract.errors import NotKeptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.alarms import AlarmDesk

__all__ = ["Evidence", "EvidenceTold"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence that lies on the disk."""

    camera: str
    event_id: str
    sha256: str  # of the manifest
    folder: str  # its name


class EvidenceTold:
    """Of the plant process' event loop only.

    Args:
        desk: whose audit journal is written.
    """

    def __init__(self, desk: AlarmDesk) -> None:
        self._desk = desk
        self._listeners: list[Callable[[Evidence], None]] = []

    def listen(self, told: Callable[[Evidence], None]) -> Callable[[], None]:
        """Call `told` for all evidence; the answer ends that. It may raise NotKeptError."""
        self._listeners.append(told)
        return lambda: self._listeners.remove(told)

    def take(self, evidence: Evidence) -> Outcome:
        """DONE once everybody has it; NOT_KEPT asks for it once more."""
        try:
            for told in tuple(self._listeners):
                told(evidence)
        except NotKeptError as error:
            _log.warning("evidence %s could not be told: %s", evidence.folder, error)
            return Outcome.NOT_KEPT
        entry = Entry(
            Category.SYSTEM,
            f"evidence {evidence.event_id}",
            new=evidence.sha256,
            comment=evidence.folder,
        )
        return Outcome.DONE if self._desk.audit(entry) else Outcome.NOT_KEPT
