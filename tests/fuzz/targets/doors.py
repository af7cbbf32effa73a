"""The private sockets at which the running daemon is asked for a drill or for another model.

The first byte says which.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path
from unittest import mock

from contract.errors import InputError
from contract.tags import HealthCode
from edge_runtime.drill_door import DrillDoor
from edge_runtime.pipeline import Standing
from edge_runtime.slots import door as slot_door
from edge_runtime.slots.config import UpdateConfig
from edge_runtime.slots.door import SlotDoor
from edge_runtime.slots.store import SlotStore
from tests.fuzz.target import BrokenPromiseError, Target


class Drills:
    """A pipeline with no camera to drill."""

    def begin_drill(self, camera, seconds):
        return f"there is no camera {camera}"

    def drill(self, camera):
        return None

    def end_drill(self, camera, why):
        pass


class Frames:
    """A pipeline that has nothing yet."""

    standing = Standing(None, None, HealthCode(0))

    def take_over(self, model, *, wait_s):
        raise BrokenPromiseError("a model was handed over that was never verified")

    def listen(self, told):
        return lambda: None


def no_model(slot):
    raise InputError(f"{slot} holds no model")


def seeds():
    deep = b"[" * 3000
    return [
        b'\0{"camera": "north", "seconds": 5}\n',
        b'\0{"camera": "north", "seconds": 1' + b"0" * 400 + b"}\n",
        b"\0" + deep + b"\n",
        b'\1{"ask": "standing", "who": "a"}\n',
        b'\1{"ask": "rollback"}\n',
        b'\1{"ask": "switch", "slot": "slot-b", "manifest_sha256": "' + b"ab" * 32 + b'"}\n',
        b"\1" + deep + b"\n",
    ]


@contextlib.contextmanager
def opened():
    faults = []
    with contextlib.ExitStack() as stack:
        # each byte behind a wish for frames asks for one, and there are none to wait for
        stack.enter_context(mock.patch.object(slot_door, "_FRAME_WAIT_S", 0.001))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = folder / "drill" / "door.sock", folder / "slots" / "door" / "apply.sock"
        doors = [
            DrillDoor(paths[0], Drills()),
            SlotDoor(SlotStore(folder / "slots"), Frames(), no_model, UpdateConfig(), lambda _: 0),
        ]
        for door in doors:
            stack.enter_context(door)
            door._loop.set_exception_handler(lambda _, context: faults.append(context))

        def run(data):
            path = paths[0] if data[:1] == b"\0" else paths[1]
            with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(ConnectionError):
                client.settimeout(10)
                connected(client, path)
                client.sendall(data[1:])
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
            if faults:
                raise BrokenPromiseError(f"the door failed: {faults.pop()}")

        yield run


def connected(client, path):
    """Once the door's thread has made its socket."""
    for _ in range(1000):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            client.connect(str(path))
            return
        asyncio.run(asyncio.sleep(0.01))
    raise BrokenPromiseError(f"nobody listens at {path}")


TARGET = Target("doors for drills and models", opened, seeds)
