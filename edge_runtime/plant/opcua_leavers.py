"""Connections end of users who were taken out of the user file or given another role.

What such a user may do is asked anew at every call; this ends what goes on without one, as values
that are subscribed to. A client with a role still can log in again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from contract.roles import Role

__all__ = ["leavers_put_out"]

_log = logging.getLogger(__name__)

_LOOK_S = 1.0


@contextlib.asynccontextmanager
async def leavers_put_out(
    users: Path | None, clients: Sequence[Any], role: Callable[[Any], Role | None]
) -> AsyncIterator[None]:
    """Look after the user file each second, for as long as the context lasts.

    Args:
        users: the file; without one nobody is known by name.
        clients: the library's connections, as they are now.
        role: of a user of the library, now.
    """
    if users is None:
        yield
        return
    task = asyncio.create_task(_watch(users, clients, role), name="gasedge-opcua-leavers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(users: Path, clients: Sequence[Any], role: Callable[[Any], Role | None]) -> None:
    known: dict[Any, Role | None] = {}  # the role of each session when it was seen first
    seen: tuple[int, int, int] | None = None
    while True:
        now = _stamp(users)
        sessions = {}
        for each in clients:
            session = each.processor.session if each.processor is not None else None
            if session is not None and session.is_activated():
                sessions[session] = each
        for session, connection in sessions.items():
            if session in known and now == seen:
                continue
            may = role(session.user)
            began = known.setdefault(session, may)
            if may is None or may is not began:
                _log.warning(
                    "OPC UA: %.64r is no longer %s: the connection from %s ends",
                    session.user.name,
                    began.label if began is not None else "a user",
                    session.origin,
                )
                connection.transport.abort()
        known = {session: began for session, began in known.items() if session in sessions}
        seen = now
        await asyncio.sleep(_LOOK_S)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
