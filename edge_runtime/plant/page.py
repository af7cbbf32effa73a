"""The live overlay in a browser on this machine: one page, one JSON, one picture a camera.

Plain requests and nothing else: the page asks again and again, and calls itself UNKNOWN when it
gets no answer in time. There is no log-in yet, so it is served on loopback only, and to requests
that name loopback as their host only (a foreign web page that rebinds its name is refused).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import logging
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from contract.errors import ConfigError
from contract.tags import TAGS, HealthCode, LeakState, Quality, TagType
from edge_runtime.plant.config import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from contract.tags import Value
    from edge_runtime.plant.config import PageConfig
    from edge_runtime.plant.receiver import Board

__all__ = ["serve_page"]

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 64
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PLAIN = (TagType.BYTES,)  # not in the JSON: the picture shows the mask


@contextlib.asynccontextmanager
async def serve_page(config: PageConfig, board: Board) -> AsyncIterator[int]:
    """Listen, and yield the port.

    Raises:
        ConfigError: when the address cannot be taken.
    """
    html = importlib.resources.files("edge_runtime.plant").joinpath("page.html").read_text("utf-8")

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    async def state(_request: web.Request) -> web.Response:
        return web.json_response(_state(board))

    async def picture(request: web.Request) -> web.Response:
        found = board.pictures.get(request.match_info["camera"])
        if found is None:
            raise web.HTTPNotFound(text="no picture yet")
        return web.Response(body=found.jpeg, content_type="image/jpeg")

    application = web.Application(middlewares=[_only_loopback_names])
    application.router.add_get("/", page)
    application.router.add_get("/state.json", state)
    application.router.add_get("/camera/{camera}.jpg", picture)
    # a client that does not read must not hold up the end of the process
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=15, shutdown_timeout=0.5)
    await runner.setup()
    requests: Any = runner.server

    def bounded() -> asyncio.BaseProtocol:
        full = len(requests.connections) >= _MAX_CONNECTIONS
        protocol: asyncio.BaseProtocol = _TurnedAway() if full else requests()
        return protocol

    try:
        server = await asyncio.get_running_loop().create_server(bounded, config.host, config.port)
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"[plant.page] cannot listen on {config.host}:{config.port} ({error})"
        ) from error
    port: int = server.sockets[0].getsockname()[1]
    _log.info("page on http://%s:%d/", config.host, port)
    try:
        yield port
    finally:
        server.close()
        await runner.cleanup()


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@web.middleware
async def _only_loopback_names(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    if not is_loopback(name.strip("[]").lower()):
        response: web.StreamResponse = web.Response(
            status=421, text="ask for this page as localhost or 127.0.0.1"
        )
    else:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.text or error.reason)
    response.headers.update(_HEADERS)
    return response


def _state(board: Board) -> dict[str, Any]:
    return {
        "time_ns": time.time_ns(),
        "units": {tag.name: tag.unit for tag in TAGS if tag.unit},
        "cameras": [_camera(board, name) for name in board.cameras],
    }


def _camera(board: Board, name: str) -> dict[str, Any]:
    shown = board.show(name)
    snapshot = shown.snapshot
    picture = board.pictures.get(name)
    code = HealthCode(int(_number(snapshot.value("Health/Code"))))
    return {
        "camera": name,
        "unit_id": snapshot.unit_id,
        "quality": snapshot.quality.name,
        "state": LeakState(int(_number(snapshot.value("Leak/State")))).name
        if snapshot.quality is not Quality.BAD
        else LeakState.UNKNOWN.name,
        "reasons": [each.name for each in HealthCode if each in code],
        "source_time_ns": snapshot.source_time_ns,
        "picture_ns": picture.captured_ns if picture else None,
        "picture_age_ms": _picture_age_ms(picture.captured_ns) if picture else None,
        "tags": {
            tag.name: _json(snapshot.value(tag.name)) for tag in TAGS if tag.type not in _PLAIN
        },
    }


def _picture_age_ms(captured_ns: int) -> int:
    return max(0, (time.time_ns() - captured_ns) // 1_000_000)


def _number(value: Value) -> float:
    return value if isinstance(value, (int, float)) else 0


def _json(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value
