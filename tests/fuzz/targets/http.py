"""HTTP of the page: bytes as they come, through the real parser, the gate and every handler.

The first byte says who asks: a stranger, or the browser of an engineer who is logged in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import tempfile
import time
from pathlib import Path

from aiohttp import web

from contract.roles import Role
from edge_runtime.plant.config import EvidenceConfig, PageConfig, PlantConfig
from edge_runtime.plant.evidence_told import EvidenceTold
from edge_runtime.plant.keeping import Keeping
from edge_runtime.plant.messages import Picture
from edge_runtime.plant.page import _application, _Handlers
from edge_runtime.plant.page_gate import Gate
from edge_runtime.plant.page_trend import Trend
from edge_runtime.plant.users import add_user
from tests.fuzz.box import CAMERAS, new_board, new_desk
from tests.fuzz.target import BrokenPromiseError, Target

COOKIE = "fuzzed-cookie"
TOKEN = "fuzzed-token"
OWN = b"Host: localhost\r\nOrigin: http://localhost\r\n"
PAGES = (
    b"/ /page.js /login /state.json /camera/north.jpg /trend/south.json /evidence.json /metrics "
    b"/evidence/20260101/clip.webm /healthz /readyz /camera/..%2f.jpg /%00 /x?y=%zz"
).split()


def get(address, more=b""):
    return b"GET " + address + b" HTTP/1.1\r\n" + OWN + more + b"\r\n"


def post(address, body, more=b""):
    size = str(len(body)).encode()
    kind = b"Content-Type: application/json\r\nContent-Length: " + size + b"\r\n"
    token = b"X-Gasedge-Token: " + TOKEN.encode() + b"\r\n"
    return b"POST " + address + b" HTTP/1.1\r\n" + OWN + kind + token + more + b"\r\n" + body


def seeds():
    with new_desk() as desk:
        alarm = desk.alarms()[0].id
    act = {"alarm": alarm, "kind": "shelve", "event_id": "", "comment": "why", "minutes": 5}
    log_in = {"name": "operator", "password": "\ud800 wrong"}
    cookie = f"Cookie: gasedge={COOKIE}\r\n".encode()
    chunked = (
        b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n"
    )
    posts = [
        post(b"/act", json.dumps(act).encode()),
        post(b"/act", json.dumps(act | {"minutes": 10**400, "comment": "\ud800"}).encode()),
        post(b"/login", json.dumps(log_in).encode()),
        post(b"/logout", b"{}"),
        b"POST /act HTTP/1.1\r\n" + OWN + chunked + b"\r\n",
    ]
    reads = [get(page) for page in PAGES]
    basic = get(b"/metrics", b"Authorization: Basic b3BlcmF0b3I6cGFzcw==\r\n")
    asked = [*reads, *posts, basic]
    return [
        *(b"\0" + each for each in asked),
        *(b"\1" + each.replace(b"\r\n", b"\r\n" + cookie, 1) for each in asked),
        b"\0" + b"".join(reads[:4]),
        b"\0" + get(b"/evidence/e/clip.webm", b"Range: bytes=0-1,5-\r\nExpect: 100-continue\r\n"),
    ]


class _Faults(logging.Handler):
    """What aiohttp logs when a handler failed: the client got a 500."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.seen = []

    def emit(self, record):
        self.seen.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


class _Answers(asyncio.Transport):
    """The client's side of a connection."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.data = bytearray()
        self.closed = False

    def write(self, data):
        self.data += data

    def writelines(self, many):
        self.data += b"".join(many)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def set_write_buffer_limits(self, high=None, low=None):
        pass


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder, new_desk() as desk, without_chance():
        loop = asyncio.new_event_loop()
        users, evidence = Path(folder) / "users", Path(folder) / "evidence"
        (evidence / "20260101").mkdir(parents=True)
        (evidence / "20260101" / "clip.webm").write_bytes(bytes(100))
        add_user(users, "operator", "long enough for this", Role.OPERATOR)
        config = PlantConfig(
            page=PageConfig(users=users),
            evidence=EvidenceConfig(folder=evidence),
            state_dir=Path(folder),
        )
        board = new_board()
        board.pictures[CAMERAS[0]] = Picture(CAMERAS[0], b"jpeg", 1)
        handlers = _Handlers(config, board, Keeping(desk, None, EvidenceTold(desk)), Trend(CAMERAS))
        faults = _Faults()
        logging.getLogger("aiohttp").addHandler(faults)

        async def start():
            gate = Gate(config.page, desk.note)
            runner = web.AppRunner(_application(gate, handlers), access_log=None)
            await runner.setup()
            return gate, runner

        gate, runner = loop.run_until_complete(start())

        def run(data):
            gate.sessions.end_all()
            if data[:1] == b"\1":
                gate.sessions.begin("operator", Role.ENGINEER, time.monotonic())
            told = loop.run_until_complete(served(runner.server(), data[1:]))
            failed = [each for each in faults.seen if "Unknown Expect" not in each]
            faults.seen.clear()
            if failed:
                raise BrokenPromiseError(f"a handler failed: {failed[0]}")
            # aiohttp 3.14 itself answers an Expect header that is no text so, before any handler
            if b"HTTP/1.1 500" in told and b"expect" not in data.lower():
                raise BrokenPromiseError("the answer is a 500")
            if b"long enough for this" in told:
                raise BrokenPromiseError("a password was told")

        try:
            yield run
        finally:
            logging.getLogger("aiohttp").removeHandler(faults)
            loop.run_until_complete(runner.cleanup())
            loop.run_until_complete(loop.shutdown_default_executor())
            handlers.clips.close()
            loop.close()


async def served(protocol, data):
    """What a client hears who says all this at once and goes once it is answered."""
    client = _Answers()
    protocol.connection_made(client)
    protocol.data_received(data)
    for _ in range(500):
        await asyncio.sleep(0)
        if client.closed or (protocol._current_request is None and not protocol._messages):
            break
    else:  # a body that never comes, or a thread that reads a file
        await asyncio.sleep(0.001)
    protocol.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    return bytes(client.data)


@contextlib.contextmanager
def without_chance():
    """Cookies and tokens that the seeds know, so that log-ins can be fuzzed past."""
    original = secrets.token_urlsafe
    secrets.token_urlsafe = lambda size=32: COOKIE if size == 32 else TOKEN
    try:
        yield
    finally:
        secrets.token_urlsafe = original


TARGET = Target("HTTP of the page", opened, seeds)
