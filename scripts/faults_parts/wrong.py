"""What a row of the table fails with."""

from __future__ import annotations

from contract.errors import GasedgeError

__all__ = ["WrongError"]


class WrongError(GasedgeError):
    """Something beside the tags is not as it must be."""
