"""Modbus TCP, read-only: any number of requests in one segment, any number of pieces per request.

An own server of two pages, because the libraries do not fit: pymodbus loses pipelined requests,
and pyModbusTCP gives each client a thread, so that a flood of clients starves the freshness watch.
Here every client shares the gateway's loop and yields after each answer. Connections are counted
from the moment they are accepted, so that half a TLS handshake takes a place like any client.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from edge_runtime.plant.modbus_answers import answer
from edge_runtime.plant.modbus_tls import ModbusTrust
from edge_runtime.plant.registers import block_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from edge_runtime.plant.config import ModbusConfig
    from edge_runtime.plant.receiver import Board
    from edge_runtime.plant.registers import Block

__all__ = ["serve_modbus"]

_log = logging.getLogger(__name__)

_PREFIX = struct.Struct(">HHHB")  # transaction, protocol, bytes that follow, unit
_WRITE_BUFFER = 4096  # a client that reads nothing is waited for, and alone
_QUIET_S = 1.0  # when all places are taken, a client idle for so long makes room for a new one
_HANDSHAKE_S = 5.0
_SAME_S = 0.002  # packing a block costs more than all the rest of an answer
_PER_S = 200.0  # answers that one client gets, after a burst of as many: no master asks for more,
_BURST = 200.0  # and a flood takes no processor time that frames would miss
_ALL_TAKEN_S = 60.0  # between two words in the log that clients are turned away


@contextlib.asynccontextmanager
async def serve_modbus(
    config: ModbusConfig, board: Board, *, serial: str
) -> AsyncIterator[tuple[int, int | None]]:
    """Listen, and yield the port, and that of TLS where it is configured.

    Raises:
        ConfigError: when an address cannot be taken or a certificate cannot be used.
    """
    clients = _Clients(config, board, serial)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(clients.close)
        idle = asyncio.create_task(clients.drop_the_idle(), name="gasedge-modbus-idle")
        stack.callback(idle.cancel)
        port = await stack.enter_async_context(
            _listening(clients, "[plant.modbus]", config.host, config.port)
        )
        tls = config.tls
        tls_port = None
        if tls is not None:
            tls_port = await stack.enter_async_context(
                _listening(clients, "[plant.modbus.tls]", tls.host, tls.port, ModbusTrust(tls))
            )
        yield port, tls_port


@contextlib.asynccontextmanager
async def _listening(
    clients: _Clients, table: str, host: str, port: int, trust: ModbusTrust | None = None
) -> AsyncIterator[int]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        raise ConfigError(f"{table} cannot listen on {host}:{port} ({error})") from error
    listener.settimeout(0)
    taken: int = listener.getsockname()[1]
    accepting = asyncio.create_task(_accept(listener, clients, trust), name="gasedge-modbus")
    _log.info("Modbus TCP on %s:%d, %sread-only", host, taken, "TLS, " if trust else "")
    try:
        yield taken
    finally:
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
        listener.close()


async def _accept(listener: socket.socket, clients: _Clients, trust: ModbusTrust | None) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError as error:  # no descriptor left, or the client is gone already
            _log.warning("Modbus: a client could not be accepted (%s)", error)
            await asyncio.sleep(_QUIET_S)
            continue
        clients.admit(connection, trust)


class _Clients:
    """All connections, and when each was last busy."""

    def __init__(self, config: ModbusConfig, board: Board, serial: str) -> None:
        self._config = config
        self._board = board
        self._busy: dict[asyncio.Task[None], float] = {}
        self._blocks: dict[int, tuple[float, Block]] = {}
        self._told_s = float("-inf")
        self._identification = {
            0: "gasedge",
            1: "gasedge",
            2: importlib.metadata.version("gasedge"),
            4: "gas-leak segmentation",
            6: serial,
        }

    def admit(self, connection: socket.socket, trust: ModbusTrust | None) -> None:
        """Serve a connection in a task of its own, or close it when all places are taken."""
        if not self._make_room():
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection, trust), name="gasedge-modbus-client")
        self._busy[task] = time.monotonic()
        task.add_done_callback(self._gone)

    async def close(self) -> None:
        """End all connections."""
        tasks = tuple(self._busy)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drop_the_idle(self) -> None:
        """End whoever had no answer for too long: asks nothing, half a request, or reads nothing.

        One look at all of them costs less than a timer for each read of each.
        """
        while True:
            await asyncio.sleep(min(_QUIET_S, self._config.idle_s / 4))
            since_s = time.monotonic() - self._config.idle_s
            for task in [each for each, at_s in self._busy.items() if at_s < since_s]:
                del self._busy[task]
                task.cancel()

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._busy.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("Modbus: a connection failed", exc_info=error)

    async def _serve(self, connection: socket.socket, trust: ModbusTrust | None) -> None:
        task = asyncio.current_task()
        try:
            reader, writer = await _opened(connection, trust)
        except (OSError, asyncio.TimeoutError, ConfigError) as error:  # TLS's errors are OSErrors
            connection.close()
            if trust is not None:
                trust.turned_away(error)
            return
        left, at_s = _BURST, time.monotonic()
        try:
            while task in self._busy and await self._answer_one(reader, writer):
                now_s = self._busy[task] = time.monotonic()
                left, at_s = min(left + (now_s - at_s) * _PER_S, _BURST) - 1, now_s
                # even before the limit, a flood on one connection leaves the loop to the others
                await asyncio.sleep(0 if left >= 0 else -left / _PER_S)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer the next request; False when the client does not speak Modbus."""
        prefix = await reader.readexactly(_PREFIX.size)
        transaction, protocol, length, unit = _PREFIX.unpack(prefix)
        if protocol != 0 or not 2 <= length <= 254:
            return False
        request = await reader.readexactly(length - 1)
        reply = answer(request, self._block(unit), self._identification)
        writer.write(_PREFIX.pack(transaction, 0, len(reply) + 1, unit) + reply)
        await writer.drain()
        return True

    def _block(self, unit: int) -> Block | None:
        """A unit's values, packed once for all who ask at nearly the same time."""
        if not 1 <= unit <= len(self._board.cameras):
            return None
        now_s = time.monotonic()
        made_s, block = self._blocks.get(unit, (0.0, None))
        if block is None or now_s - made_s > _SAME_S:
            block = block_of(self._board.show(self._board.cameras[unit - 1]).snapshot)
            self._blocks[unit] = now_s, block
        return block

    def _make_room(self) -> bool:
        if len(self._busy) < self._config.max_clients:
            return True
        oldest = min(self._busy, key=self._busy.__getitem__)
        now_s = time.monotonic()
        if now_s - self._busy[oldest] < _QUIET_S:
            if now_s - self._told_s >= _ALL_TAKEN_S:
                self._told_s = now_s
                _log.warning(
                    "Modbus: clients are turned away, all %d places are taken", len(self._busy)
                )
            return False
        del self._busy[oldest]
        oldest.cancel()
        return True


async def _opened(
    connection: socket.socket, trust: ModbusTrust | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of an accepted connection, after its handshake where there is one."""
    connection.settimeout(0)
    # asyncio does so for sockets of its own making: several answers would wait 40 ms for each other
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context: ssl.SSLContext | None = trust.context() if trust is not None else None
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_WRITE_BUFFER)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        connection,
        ssl=context,
        ssl_handshake_timeout=_HANDSHAKE_S if context else None,
    )
    transport.set_write_buffer_limits(high=_WRITE_BUFFER)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
