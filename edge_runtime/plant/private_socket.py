"""Unix sockets between the processes of one daemon: open to nobody but this user."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError, InputError
from edge_runtime.plant.link import peer_uid
from edge_runtime.plant.messages import PREFIX_BYTES, sizes_from_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

__all__ = ["listen_privately", "read_message", "read_request"]

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 16
_ENDING_S = 1.0
_LONGEST_REQUEST = 4096


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Header and blob of the next message.

    Raises:
        InputError: when it is no message or too large; nothing of it was read then.
        asyncio.IncompleteReadError: when the other end is gone.
    """
    header, blob = sizes_from_prefix(await reader.readexactly(PREFIX_BYTES))
    return await reader.readexactly(header), await reader.readexactly(blob)


async def read_request(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The object in the next line of JSON.

    Raises:
        InputError: when the line holds none, or is too long.
    """
    try:
        line = await reader.readline()
        asked = json.loads(line) if len(line) <= _LONGEST_REQUEST else None
    except (ValueError, RecursionError) as error:  # of `readline`, too: a line without an end
        raise InputError(f"not a line of JSON ({type(error).__name__})") from error
    if not isinstance(asked, dict):
        raise InputError(f"not a JSON object of up to {_LONGEST_REQUEST} bytes")
    return asked


@contextlib.asynccontextmanager
async def listen_privately(
    socket_path: Path,
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[None]:
    """Listen on `socket_path`; `connected` serves each process of the same user until it ends.

    Raises:
        ConfigError: when the socket's folder is open to others or the socket cannot be made.
    """
    connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid != os.getuid() or len(connections) >= _MAX_CONNECTIONS:
            _log.warning("plant link: a process of user %d was turned away", uid)
            writer.transport.abort()
            return
        connections[writer] = asyncio.current_task()
        try:
            await connected(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del connections[writer]
            writer.transport.abort()

    _prepare(socket_path)
    try:
        server = await asyncio.start_unix_server(admit, sock=_bound(socket_path))
    except OSError as error:
        raise ConfigError(f"{socket_path}: no socket can be made there ({error})") from error
    try:
        yield
    finally:
        server.close()
        serving = [task for task in connections.values() if task is not None]
        for writer in connections:
            writer.transport.abort()
        if serving:  # they end by themselves now
            await asyncio.wait(serving, timeout=_ENDING_S)
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - one quick call at the end


def _bound(socket_path: Path) -> socket.socket:
    """A socket that is never open to others, not even for a moment.

    A umask would do it as well, but is the whole process': what another thread makes meanwhile
    would be spoilt, and two that set it at a time would leave it so.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # Linux gives the name that it is bound to this mode
        made.bind(str(socket_path))
    except BaseException:
        made.close()
        raise
    return made


def _prepare(socket_path: Path) -> None:
    """Make a private folder for the socket, and remove a socket that a killed gateway left."""
    folder = socket_path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat()
        if mode.st_uid != os.getuid() or mode.st_mode & 0o077:
            raise ConfigError(
                f"{folder}: others may enter this folder (mode {stat.filemode(mode.st_mode)}); "
                f"give the plant link a folder of its own with mode 0700"
            )
        if socket_path.is_socket():
            socket_path.unlink()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot hold the plant link ({error})") from error
