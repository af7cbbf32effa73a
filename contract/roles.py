"""Who a person at the plant is: what each role may do stands here and nowhere else."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Role"]


class Role(IntEnum):
    """A user's role; each may do what those before it may."""

    VIEWER = 0  # read
    OPERATOR = 1  # acknowledge, confirm, comment, shelve
    ENGINEER = 2  # take alarms out of service, reset latches

    @property
    def label(self) -> str:
        """As it stands in files and audit records."""
        return self.name.lower()
