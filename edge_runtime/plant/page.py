"""The browser page of the plant process: live overlay, alarms, trend and clips, and its numbers.

Plain requests and nothing else: the page asks again and again, and calls itself UNKNOWN when it
gets no answer in time. `/metrics`, `/healthz` and `/readyz` are served beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.resources
import json
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from contract.errors import ConfigError, NotKeptError
from contract.tags import TAGS, Quality
from edge_runtime.device.memory import resident_by_role
from edge_runtime.plant.config import PageConfig
from edge_runtime.plant.disk_look import DiskLook
from edge_runtime.plant.metrics import metrics_text
from edge_runtime.plant.page_actions import act, allowed
from edge_runtime.plant.page_certificate import page_tls
from edge_runtime.plant.page_clips import Clips, events_in, held_in
from edge_runtime.plant.page_gate import Gate, visitor_of
from edge_runtime.plant.page_state import alarm_json, camera_json, reasons
from edge_runtime.plant.page_trend import SAMPLE_S, Trend

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from edge_runtime.plant.config import PlantConfig
    from edge_runtime.plant.keeping import Keeping
    from edge_runtime.plant.receiver import Board

__all__ = ["serve_page"]

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 64
_HANDSHAKE_S = 10.0
_SHARED_S = 0.1
_FILES = {
    "/": "page.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/alarms.js": "alarms.js",
    "/trend.js": "trend.js",
    "/theme.js": "theme.js",
    "/login": "login.html",
    "/login.js": "login.js",
    "/icon.svg": "icon.svg",
}
_KINDS = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


class _Handlers:
    """One method an address."""

    def __init__(self, config: PlantConfig, board: Board, kept: Keeping, trend: Trend) -> None:
        self._config = config
        self._board = board
        self._kept = kept
        self._evidence = folder = config.evidence.folder if config.evidence else None
        self.clips = None if folder is None else Clips(folder)
        self._events = DiskLook(lambda: events_in(folder) if folder is not None else [])
        self._held = DiskLook(lambda: held_in(folder) if folder is not None else None)
        self._trend = trend
        self._made, self._made_s = "", float("-inf")

    async def state(self, request: web.Request) -> web.Response:
        visitor = visitor_of(request)
        session = visitor.session if visitor else None
        user = {
            "name": visitor.name if visitor else "",
            "role": visitor.role.label if visitor else "",
            "token": session.token if session else None,
            "may": allowed(session.role) if session else [],
        }
        text = f'{{"user": {json.dumps(user)}, {self._for_everybody()}}}'
        return web.Response(text=text, content_type="application/json")

    def _for_everybody(self) -> str:
        """What is the same for all who ask now: made once, however many ask."""
        now_s = time.monotonic()
        if now_s - self._made_s >= _SHARED_S:
            shared = {
                "time_ns": time.time_ns(),
                "units": {tag.name: tag.unit for tag in TAGS if tag.unit},
                "cameras": [camera_json(self._board, name) for name in self._board.cameras],
                "alarms": [alarm_json(each) for each in self._kept.desk.alarms()],
                "has_evidence": self._evidence is not None,
            }
            self._made, self._made_s = json.dumps(shared)[1:-1], now_s
        return self._made

    async def picture(self, request: web.Request) -> web.Response:
        found = self._board.pictures.get(request.match_info["camera"])
        if found is None:
            raise web.HTTPNotFound(text="no picture yet")
        return web.Response(body=found.jpeg, content_type="image/jpeg")

    async def trend(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(self._trend.of(request.match_info["camera"]))
        except KeyError:
            raise web.HTTPNotFound(text="there is no such camera") from None

    async def act(self, request: web.Request) -> web.Response:
        try:
            return await act(request, self._kept.desk)
        finally:
            self._made_s = float("-inf")  # who acts sees at once what came of it

    async def events(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(await self._events.now() or [])

    async def clip(self, request: web.Request) -> web.StreamResponse:
        if self.clips is None:
            raise web.HTTPNotFound(text="no evidence is kept")
        return await self.clips.answer(request)

    async def metrics(self, request: web.Request) -> web.Response:
        del request
        outbox = None
        if self._kept.outbox is not None:
            with contextlib.suppress(NotKeptError):  # the desk's maintenance alarm says so
                outbox = self._kept.outbox.figures(time.time_ns())
        text = metrics_text(
            [self._board.show(name).snapshot for name in self._board.cameras],
            self._kept.desk.alarms(),
            version=importlib.metadata.version("gasedge"),
            serial=self._config.serial,
            outbox=outbox,
            evidence=await self._held.now(),
            device=self._kept.desk.device,
            memory=resident_by_role(os.getppid()),
        )
        kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=text.encode(), headers=kind)

    async def healthz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="the plant process lives\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """503 unless every camera is good; strangers are not told why."""
        lines = []
        for name in self._board.cameras:
            snapshot = self._board.show(name).snapshot
            if snapshot.quality is not Quality.GOOD:
                why = " ".join(bit.name or "" for bit in reasons(snapshot))
                lines.append(f"{name}: {snapshot.quality.name} {why}".rstrip())
        if not lines:
            return web.Response(text="every camera is good\n")
        told = lines if visitor_of(request) else [f"{len(lines)} cameras are not good"]
        return web.Response(status=503, text="\n".join(told) + "\n")


@contextlib.asynccontextmanager
async def serve_page(config: PlantConfig, board: Board, kept: Keeping) -> AsyncIterator[int]:
    """Listen as `[plant.page]` says, and yield the port.

    Raises:
        ConfigError: when the address cannot be taken, or users or certificate cannot be used.
    """
    page = config.page or PageConfig()
    tls = page_tls(page, config.state_dir)
    gate = Gate(page, kept.desk.note)
    trend = Trend(board.cameras)
    handlers = _Handlers(config, board, kept, trend)
    application = _application(gate, handlers)
    # a client that does not read must not hold up the end of the process
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=15, shutdown_timeout=0.5)
    await runner.setup()
    try:
        family = socket.AF_INET6 if ":" in page.host else socket.AF_INET
        listener = socket.create_server((page.host, page.port), family=family, backlog=64)
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"[plant.page] cannot listen on {page.host}:{page.port} ({error})"
        ) from error
    listener.settimeout(0)
    port: int = listener.getsockname()[1]
    _log.info("page on %s://%s:%d/", "https" if tls else "http", page.host, port)
    tasks = [
        asyncio.create_task(_accept(listener, tls, runner.server), name="gasedge-page"),
        asyncio.create_task(_sample(board, trend), name="gasedge-page-trend"),
    ]
    try:
        yield port
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()
        await runner.cleanup()
        if handlers.clips is not None:
            handlers.clips.close()


async def _accept(listener: socket.socket, tls: ssl.SSLContext | None, requests: Any) -> None:
    """Serve connections, so many at a time, counted from before their handshake.

    When all places are taken the oldest that does not ask anything makes room: a browser whose
    connection was idle opens another by itself, so silent strangers keep nobody out.
    """
    loop = asyncio.get_running_loop()
    opening: dict[asyncio.Task[None], None] = {}  # oldest first

    async def serve(connection: socket.socket) -> None:
        patience_s = _HANDSHAKE_S if tls else None
        try:
            await loop.connect_accepted_socket(
                requests, connection, ssl=tls, ssl_handshake_timeout=patience_s
            )
        except (OSError, asyncio.TimeoutError):  # TLS's errors are OSErrors
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    try:
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor left, or the client is gone already
                _log.warning("page: a client could not be accepted (%s)", error)
                await asyncio.sleep(1)
                continue
            full = len(requests.connections) + len(opening) >= _MAX_CONNECTIONS
            if full and not _make_room(opening, requests.connections):
                connection.close()
                continue
            task = asyncio.create_task(serve(connection), name="gasedge-page-client")
            opening[task] = None
            task.add_done_callback(lambda done: opening.pop(done, None))
    finally:
        for task in opening:
            task.cancel()


def _make_room(opening: dict[asyncio.Task[None], None], connections: list[Any]) -> bool:
    for task in opening:  # somebody's half handshake
        opening.pop(task)
        task.cancel()
        return True
    for each in connections:
        if each._current_request is None and each.transport is not None:  # noqa: SLF001 - no other way
            each.transport.abort()
            return True
    return False


def _application(gate: Gate, handlers: _Handlers) -> web.Application:
    application = web.Application(middlewares=[gate.middleware()])
    router = application.router
    for address, name in _FILES.items():
        router.add_get(address, _file(name))
    router.add_get("/state.json", handlers.state)
    router.add_get("/camera/{camera}.jpg", handlers.picture)
    router.add_get("/trend/{camera}.json", handlers.trend)
    router.add_get("/evidence.json", handlers.events)
    router.add_get("/evidence/{event}/{file}", handlers.clip)
    router.add_get("/metrics", handlers.metrics)
    router.add_get("/healthz", handlers.healthz)
    router.add_get("/readyz", handlers.readyz)
    router.add_post("/act", handlers.act)
    router.add_post("/login", gate.log_in)
    router.add_post("/logout", gate.log_out)
    return application


def _file(name: str) -> Callable[[web.Request], Any]:
    folder = importlib.resources.files("edge_runtime.plant").joinpath("page_files")
    body = folder.joinpath(name).read_bytes()
    kind = _KINDS[name.rpartition(".")[2]]

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer


async def _sample(board: Board, trend: Trend) -> None:
    while True:
        for name in board.cameras:
            trend.add(board.show(name).snapshot, time.time_ns())
        await asyncio.sleep(SAMPLE_S)
