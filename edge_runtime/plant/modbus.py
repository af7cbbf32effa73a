"""Modbus TCP, read-only: any number of requests in one segment, any number of pieces per request.

An own server of one page, because the libraries do not fit: pymodbus loses pipelined requests,
and pyModbusTCP gives each client a thread, so that a flood of clients starves the freshness watch.
Here every client shares the gateway's loop and yields after each answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import struct
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from edge_runtime.plant.modbus_answers import answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from contract.tags import CameraSnapshot
    from edge_runtime.plant.config import ModbusConfig
    from edge_runtime.plant.receiver import Board

__all__ = ["serve_modbus"]

_log = logging.getLogger(__name__)

_PREFIX = struct.Struct(">HHHB")  # transaction, protocol, bytes that follow, unit
_WRITE_BUFFER = 4096  # a client that reads nothing is waited for, and alone
_QUIET_S = 1.0  # when all places are taken, a client idle for so long makes room for a new one


@contextlib.asynccontextmanager
async def serve_modbus(config: ModbusConfig, board: Board, *, serial: str) -> AsyncIterator[int]:
    """Listen, and yield the port.

    Raises:
        ConfigError: when the address cannot be taken.
    """
    clients = _Clients(config, board, serial)
    try:
        server = await asyncio.start_server(
            clients.serve, config.host, config.port, limit=_WRITE_BUFFER
        )
    except OSError as error:
        raise ConfigError(
            f"[plant.modbus] cannot listen on {config.host}:{config.port} ({error})"
        ) from error
    port: int = server.sockets[0].getsockname()[1]
    _log.info("Modbus TCP on %s:%d, read-only", config.host, port)
    try:
        yield port
    finally:
        server.close()
        clients.close()


class _Clients:
    """All connections, and when each was last busy."""

    def __init__(self, config: ModbusConfig, board: Board, serial: str) -> None:
        self._config = config
        self._board = board
        self._busy: dict[asyncio.StreamWriter, float] = {}
        self._identification = {
            0: "gasedge",
            1: "gasedge",
            2: importlib.metadata.version("gasedge"),
            4: "gas-leak segmentation",
            6: serial,
        }

    def close(self) -> None:
        for writer in tuple(self._busy):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._make_room():
            writer.transport.abort()
            return
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._busy[writer] = time.monotonic()
        try:
            while await self._answer_one(reader, writer):
                self._busy[writer] = time.monotonic()
                await asyncio.sleep(0)  # a flood on one connection leaves the loop to the others
        except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
            pass
        finally:
            self._busy.pop(writer, None)
            writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer the next request; False when the client does not speak Modbus."""
        idle_s = self._config.idle_s
        prefix = await asyncio.wait_for(reader.readexactly(_PREFIX.size), idle_s)
        transaction, protocol, length, unit = _PREFIX.unpack(prefix)
        if protocol != 0 or not 2 <= length <= 254:
            return False
        request = await asyncio.wait_for(reader.readexactly(length - 1), idle_s)
        reply = answer(request, self._snapshot(unit), self._identification)
        writer.write(_PREFIX.pack(transaction, 0, len(reply) + 1, unit) + reply)
        await asyncio.wait_for(writer.drain(), idle_s)
        return True

    def _snapshot(self, unit: int) -> CameraSnapshot | None:
        if not 1 <= unit <= len(self._board.cameras):
            return None
        return self._board.show(self._board.cameras[unit - 1]).snapshot

    def _make_room(self) -> bool:
        if len(self._busy) < self._config.max_clients:
            return True
        oldest = min(self._busy, key=self._busy.__getitem__)
        if time.monotonic() - self._busy[oldest] < _QUIET_S:
            _log.warning(
                "Modbus: a client was turned away, all %d places are taken", len(self._busy)
            )
            return False
        del self._busy[oldest]
        oldest.transport.abort()
        return True
