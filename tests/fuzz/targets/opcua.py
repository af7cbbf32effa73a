"""OPC UA as it comes out of a socket: bytes of strangers through the library behind its guard.

A session is named by its channel and a token; both are fixed here, so that what a real client once
said can be said again and changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from asyncua import Client, ua
from asyncua.ua import ua_binary

from contract.alarms import Outcome
from edge_runtime.plant import opcua
from edge_runtime.plant.config import OpcUaConfig
from tests.fuzz.box import CAMERAS
from tests.fuzz.target import BrokenPromiseError, Target

TOKEN = b"fuzzed-token".ljust(32)


class Ears(asyncio.Transport):
    """The client's side of a connection."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.closed = False
        self.size = 0

    def write(self, data):
        self.size += len(data)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close

    def get_write_buffer_size(self):
        return 0


@contextlib.contextmanager
def served():
    """A server without security, in a loop of its own; its log-ins are known beforehand."""
    loop = asyncio.new_event_loop()
    original, secrets.token_bytes = secrets.token_bytes, lambda _=32: TOKEN
    ends = contextlib.AsyncExitStack()

    async def act(action):
        return Outcome.DONE

    async def start():
        config = OpcUaConfig(port=0, security="none")
        serving = opcua.serve_opcua(
            config, CAMERAS, serial="T1", act=act, note=lambda _: None, longest_s={}
        )
        return await ends.enter_async_context(serving)

    try:
        yield loop, loop.run_until_complete(start())
    finally:
        secrets.token_bytes = original
        loop.run_until_complete(ends.aclose())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def seeds():
    """What the library's own client says to log in, browse, read, subscribe and call."""
    said = []

    async def relay(reader, writer, port):
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def answers():
            while data := await there.read(1 << 16):
                writer.write(data)

        task = asyncio.ensure_future(answers())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                said.append(data)
                back.write(data)
        back.close()
        await task

    async def talk(tree, port):
        listener = await asyncio.start_server(
            lambda reader, writer: relay(reader, writer, port), "127.0.0.1", 0
        )
        place = listener.sockets[0].getsockname()[1]
        async with Client(f"opc.tcp://127.0.0.1:{place}/gasedge", timeout=20) as client:
            node = client.get_node(ua.ObjectIds.Server_ServerStatus_CurrentTime)
            await node.read_value()
            await client.nodes.objects.get_children()
            heard = await client.create_subscription(500, None)
            await heard.subscribe_data_change(node)
            await client.uaclient.call([ua.CallMethodRequest()])
        listener.close()
        await listener.wait_closed()

    with served() as (loop, running):
        loop.run_until_complete(talk(running.tree, running.port))
    whole = [b"".join(said[:count]) for count in range(1, len(said) + 1)]
    return [*whole[:4], whole[-1], whole[1] + nothing(), whole[1][:-3]]


def nothing():
    """A GetEndpoints whose header holds an array of nothing, as long as can be said."""
    request = ua.GetEndpointsRequest()
    request.RequestHeader.AdditionalHeader = ua.LiteralOperand(Value=ua.Variant(5))
    body = ua_binary.struct_to_binary(request)
    five = b"\x08" + (5).to_bytes(8, "little")
    assert five in body
    body = body.replace(five, b"\x80" + b"\xff\xff\xff\x7f" + bytes(4))
    numbers = [1, 13, 2, 2]  # channel, token, sequence, request
    head = b"".join(number.to_bytes(4, "little") for number in numbers)
    return b"MSGF" + (8 + len(head) + len(body)).to_bytes(4, "little") + head + body


@contextlib.contextmanager
def opened():
    with served() as (loop, running):
        server = running.tree._server.bserver
        core = server.iserver

        async def heard(data):
            core._channel_id_counter = 0
            protocol, client = server._make_protocol(), Ears()
            protocol.connection_made(client)
            protocol.data_received(data)
            for _ in range(300):
                await asyncio.sleep(0)
                if client.closed or protocol.messages.empty():
                    break
            for _ in range(10):
                await asyncio.sleep(0)
            protocol.connection_lost(None)
            for _ in range(20):
                await asyncio.sleep(0)
            return client.size

        def run(data):
            size = loop.run_until_complete(heard(data))
            if size > 1 << 20:
                raise BrokenPromiseError(f"{len(data)} bytes are answered by {size}")
            left = len(server.closing_tasks), len(core._external_sessions), len(server.clients)
            if max(left) > 8:
                raise BrokenPromiseError(f"tasks, sessions and clients are left: {left}")

        yield run


TARGET = Target("OPC UA", opened, seeds, max_bytes=8192, limit_s=1.0)
