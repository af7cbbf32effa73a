"""The sockets between the processes of one box: the frames process' link and the gateway's relay.

The first byte says which of the two gets the rest. Both stand on real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

from contract.alarms import Action, ActionKind
from contract.audit import Category, Entry
from contract.roles import Role
from edge_runtime.plant.evidence_told import EvidenceTold
from edge_runtime.plant.messages import encode_picture, encode_snapshot
from edge_runtime.plant.receiver import receive
from edge_runtime.plant.relay import serve_relay
from edge_runtime.plant.relay_messages import Asked, Maintain, Note, Subscription, encode_relayed
from tests.fuzz.box import new_board, new_desk, snapshot
from tests.fuzz.target import BrokenPromiseError, Target


def seeds():
    values = encode_snapshot(snapshot(), sent_ns=1, age_ns=2)
    with new_desk() as desk:
        alarm = desk.alarms()[0].id
    action = Action(ActionKind.SHELVE, alarm, "o", Role.OPERATOR, "here", "why", 60.0)
    told = [
        encode_relayed(Asked(1, action)),
        encode_relayed(Note(2, Entry(Category.ACCESS, "log-in", who="a"))),
        encode_relayed(Maintain("disk", "full")),
        encode_relayed(Maintain("disk", None)),
    ]
    wish = encode_relayed(Subscription(pictures=True))
    return [
        b"\0" + values,
        b"\0" + values + encode_picture("north", b"jpeg", 5) + encode_picture("x", b"", 5, "raw"),
        *(b"\1" + wish + each for each in told),
        b"\1" + wish + b"".join(told),
    ]


@contextlib.contextmanager
def opened():
    loop = asyncio.new_event_loop()
    faults = []
    loop.set_exception_handler(lambda _, context: faults.append(context))

    async def said(path, data):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(data)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):  # cut off in the middle
                while await reader.read(1 << 16):
                    pass
        finally:
            writer.transport.abort()

    def run(data):
        path = paths[data[0] % 2 if data else 0]
        with contextlib.suppress(ConnectionError):
            loop.run_until_complete(asyncio.wait_for(said(path, data[1:]), 5))
        for camera in board.cameras:
            board.show(camera)
        if faults:
            raise BrokenPromiseError(f"the other end's task failed: {faults.pop()}")

    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "link"
        desk = stack.enter_context(new_desk())
        board = new_board()
        paths = folder / "plant.sock", folder / "relay.sock"
        ends = contextlib.AsyncExitStack()
        stack.callback(lambda: loop.run_until_complete(ends.aclose()))

        async def listen():
            await ends.enter_async_context(receive(board, paths[0]))
            await ends.enter_async_context(serve_relay(board, desk, paths[1], EvidenceTold(desk)))

        loop.run_until_complete(listen())
        yield run


TARGET = Target("link and relay between processes", opened, seeds, limit_s=2.0)
