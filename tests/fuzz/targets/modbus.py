"""Modbus TCP as it comes out of a socket: any bytes, through the server's own reading of frames."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from edge_runtime.plant.config import ModbusConfig
from edge_runtime.plant.modbus import _Clients
from tests.fuzz.box import new_board
from tests.fuzz.target import BrokenPromiseError, Target

_EXCEPTIONS = {1, 2, 3, 0x0B}
FRAMES = {"answered": 0}


def frame(unit, pdu, transaction=1):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def seeds():
    reads = [struct.pack(">BHH", function, 0, 8) for function in (1, 2, 3, 4)]
    names = [bytes([0x2B, 0x0E, wanted, 0]) for wanted in (1, 2, 3, 4)]
    writes = [struct.pack(">BHH", 6, 0, 1), b"\x10\x00\x00\x00\x01\x02\x00\x01", b"\x17" + bytes(9)]
    each = [frame(1, pdu) for pdu in (*reads, *names, *writes)]
    return [*each, b"".join(each), frame(9, reads[3]), frame(1, bytes(253)), frame(1, reads[3])[:9]]


class Answers:
    """Where a client's answers would go; each is checked."""

    def __init__(self):
        self.count = 0

    def write(self, data):
        self.count += 1
        transaction_and_zero, length, pdu = data[:4], data[4:6], data[7:]
        if len(transaction_and_zero) != 4 or int.from_bytes(length, "big") != len(data) - 6:
            raise BrokenPromiseError(f"an answer with a wrong length: {data.hex()}")
        if not 2 <= len(pdu) <= 253 or (pdu[0] & 0x80 and pdu[1] not in _EXCEPTIONS):
            raise BrokenPromiseError(f"an answer that Modbus does not know: {data.hex()}")

    async def drain(self):
        pass


@contextlib.contextmanager
def opened():
    loop = asyncio.new_event_loop()
    clients = _Clients(ModbusConfig(), new_board(), "T1")

    async def served(data):
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        answers = Answers()
        # the end of a stream is how every client's connection ends
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await clients._answer_one(reader, answers):
                pass
        FRAMES["answered"] += answers.count

    def run(data):
        loop.run_until_complete(served(data))

    try:
        yield run
    finally:
        loop.close()


TARGET = Target(
    "Modbus TCP",
    opened,
    seeds,
    max_bytes=1024,
    counted=lambda: f"{FRAMES['answered']:,} frames answered",
)
