"""What clients do: ask without end, send rubbish, send single bytes, hold all places."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from tests.plant.test_modbus_fuzz import requests

from .fault import Fault
from .opcua_client import serves_opcua
from .reading import Shown
from .rig import Rig, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # what one client does with a fresh connection, until it is thrown out or the row ends
    Client = Callable[[socket.socket, threading.Event, random.Random], None]

__all__ = ["rows"]

_SETTING = Setting("floods", tables="[plant.page]\nport = {page}\n")
_HELLO = b"HELF" + struct.pack("<I", 56) + struct.pack("<5I", 0, 65535, 65535, 0, 0)
_READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 30)
_GET = b"GET /state.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_HOLD_S = 6.0


def rows() -> Iterator[Fault]:
    """One for each thing that clients may do."""
    modbus, opcua, page = "modbus", "opcua", "page"
    yield _row("Modbus flooded", "4 clients ask as fast as they can", modbus, _ask(_READ), 4)
    yield _row("Modbus fuzzed", "4 clients send seeded rubbish", modbus, _fuzz_modbus, 4)
    yield _row("Modbus fragments", "8 clients send a byte at a time", modbus, _drip(_READ), 8)
    yield _row("Modbus places", "40 clients connect and say nothing", modbus, _sit, 40)
    yield _row("OPC UA flooded", "16 clients connect, say hello and leave", opcua, _hello, 16)
    yield _row("OPC UA fuzzed", "4 clients send seeded rubbish", opcua, _rubbish, 4)
    yield _row("OPC UA fragments", "8 clients send a byte at a time", opcua, _drip(_HELLO), 8)
    yield _row("page flooded", "4 clients ask as fast as they can", page, _ask(_GET), 4)
    yield _row("page fragments", "8 clients send a byte at a time", page, _drip(_GET), 8)


def _row(name: str, how: str, whom: str, client: Client, count: int) -> Fault:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        port = {"modbus": rig.daemon.modbus, "opcua": rig.daemon.opcua, "page": rig.page}[whom]
        end = threading.Event()
        threads = [
            threading.Thread(target=_again, args=(port, client, end, seed), name=f"faults-{seed}")
            for seed in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield time.monotonic()
        finally:
            end.set()
            for thread in threads:
                thread.join()
        if whom == "opcua":
            serves_opcua(rig, within_s=30)

    return Fault("floods", name, how, _SETTING, do, Shown.WATCHED, hold_s=_HOLD_S)


def _again(port: int, client: Client, end: threading.Event, seed: int) -> None:
    """Come again as often as one is thrown out."""
    dice = random.Random(seed)
    while not end.wait(0.01):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 2) as connection,
        ):
            connection.settimeout(1)
            client(connection, end, dice)


def _ask(request: bytes) -> Client:
    """Ask again before the answer is there, and read whatever comes."""

    def do(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
        del dice
        connection.setblocking(False)  # noqa: FBT003 - the standard library's own
        while not end.wait(0.002):
            with contextlib.suppress(BlockingIOError):
                connection.send(request * 20)
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(1 << 16):
                    return

    return do


def _drip(request: bytes) -> Client:
    def do(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
        del dice
        for byte in itertools.cycle(request):
            if end.wait(0.005):
                return
            connection.sendall(bytes([byte]))

    return do


def _fuzz_modbus(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
    for number, (unit, pdu) in enumerate(requests(dice.random())):
        if end.is_set():
            return
        connection.sendall(struct.pack(">HHHB", number & 0xFFFF, 0, len(pdu) + 1, unit) + pdu)
        connection.recv(1 << 16)
        if dice.random() < 0.02:  # and now and then what has no form at all
            connection.sendall(dice.randbytes(dice.randint(1, 300)))


def _hello(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
    del end, dice
    url = b"opc.tcp://127.0.0.1/gasedge"
    connection.sendall(_HELLO[:28] + struct.pack("<I", len(url)) + url[: 56 - 32])
    with contextlib.suppress(TimeoutError):
        connection.recv(1 << 12)


def _rubbish(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
    while not end.wait(0.005):
        kind = dice.choice((b"HELF", b"OPNF", b"MSGF", b"MSGC", b"CLOF", dice.randbytes(4)))
        body = dice.randbytes(dice.randint(0, 500))
        size = dice.choice((len(body) + 8, dice.getrandbits(32), 8, 0))
        connection.sendall(kind + struct.pack("<I", size) + body)


def _sit(connection: socket.socket, end: threading.Event, dice: random.Random) -> None:
    del dice
    connection.settimeout(0.2)
    while not end.is_set():
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1):
                return
