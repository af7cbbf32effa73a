"""A look at a disk that may hang: one at a time, and nobody waits long for its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE_S", "DiskLook"]

PATIENCE_S = 1.0
"""How long anybody waits for a disk."""
Seen = TypeVar("Seen")


class DiskLook(Generic[Seen]):
    """Of one event loop only.

    Args:
        look: what is done in a thread.
    """

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._under_way: asyncio.Future[Seen] | None = None

    async def now(self) -> Seen | None:
        """What was seen; None when the disk does not answer in time."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.ensure_future(asyncio.to_thread(self._look))
        try:
            return await asyncio.wait_for(asyncio.shield(self._under_way), PATIENCE_S)
        except asyncio.TimeoutError:
            return None
