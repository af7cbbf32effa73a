"""Who may ask the page for what: host names, log-in, and that an action comes from the page itself.

Without users the page is read-only and served on loopback only, to requests that name loopback as
their host (a foreign web page that rebinds its name is refused). With users everybody logs in.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from contract.audit import Category, Entry
from contract.errors import GasedgeError
from contract.roles import Role
from edge_runtime.plant.config import is_loopback
from edge_runtime.plant.login import Session, Sessions
from edge_runtime.plant.spared_log import spare_the_log
from edge_runtime.plant.users import Users

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge_runtime.plant.config import PageConfig

__all__ = ["ACTIVE", "HEADERS", "TOKEN", "Gate", "Visitor", "asked", "visitor_of"]

_log = logging.getLogger(__name__)
_refused = logging.getLogger(f"{__name__}.refused")  # what strangers cause; kept short

TOKEN = "X-Gasedge-Token"  # noqa: S105 - the header's name
ACTIVE = "X-Gasedge-Active"  # a person did something since the page last asked
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob:; media-src 'self'; style-src 'self'; "
        "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""
# What says nothing of the plant; /readyz leaves its reasons out for strangers.
_OPEN = frozenset({"/login", "/login.js", "/theme.js", "/page.css", "/icon.svg", "/healthz"})
_READY = "/readyz"
_MOST_WAITING = 16  # log-ins; each costs some 50 ms
_MAX_BODY = 16 << 10
_BODY_S = 5.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    name: str  # "" on a page without users
    role: Role
    session: Session | None  # None for a program with a password, and without users


_VISITOR = "visitor"


def visitor_of(request: web.Request) -> Visitor | None:
    """Who asks; None for a stranger at one of the open addresses."""
    found = request.get(_VISITOR)
    return found if isinstance(found, Visitor) else None


class Gate:
    """Stands before every handler of the page.

    Args:
        config: of the page.
        note: told of every log-in, log-out and refusal.
    """

    def __init__(self, config: PageConfig, note: Callable[[Entry], None] | None = None) -> None:
        spare_the_log([_refused.name, "aiohttp.server"])
        self._config = config
        self._note = note
        self._users = Users(config.users) if config.users is not None else None
        self._stamp = self._user_file()
        self.sessions = Sessions(idle_s=config.idle_s, session_s=config.session_s)
        self._cookie = "__Host-gasedge" if config.is_encrypted else "gasedge"
        self._one_at_a_time = asyncio.Semaphore(1)
        self._waiting = 0

    def middleware(self) -> Any:
        """For the application's list."""

        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            try:
                response = await self._let_in(request) or await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=error.text or error.reason)
            response.headers.update(HEADERS)
            return response

        return guard

    async def log_in(self, request: web.Request) -> web.Response:
        """POST /login: a name and a password for a cookie."""
        given = await asked(request)
        name, password = given.get("name"), given.get("password")
        if self._users is None or not isinstance(name, str) or not isinstance(password, str):
            raise web.HTTPBadRequest(text="name and password are needed")
        before = self._user_file()
        role = await self._role(name, password, request)
        if self._user_file() != before:  # removed or given another role just now: once more
            role = await self._role(name, password, request)
        self._told("log-in", name, request, role)
        if role is None:
            raise web.HTTPForbidden(text="wrong name or password, or too many attempts")
        self.sessions.end(request.cookies.get(self._cookie, ""))
        response = web.json_response({"name": name})
        response.set_cookie(
            self._cookie,
            self.sessions.begin(name, role, time.monotonic()),
            httponly=True,
            secure=self._config.is_encrypted,
            samesite="Strict",
            path="/",
        )
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """POST /logout: the session ends, here and in the browser."""
        visitor = visitor_of(request)
        self.sessions.end(request.cookies.get(self._cookie, ""))
        if visitor is not None:
            self._told("log-out", visitor.name, request, visitor.role)
        response = web.json_response({})
        response.del_cookie(self._cookie, path="/", secure=self._config.is_encrypted)
        return response

    async def _let_in(self, request: web.Request) -> web.StreamResponse | None:
        """None lets the request through; anything else is the answer."""
        if is_loopback(self._config.host) and not _names_loopback(request.host):
            return web.Response(status=421, text="ask for this page as localhost or 127.0.0.1")
        posts = request.method not in ("GET", "HEAD")
        if posts:
            self._must_be_from_the_page(request)
        visitor = await self._visitor(request, posts=posts)
        if visitor is not None:
            request[_VISITOR] = visitor
        elif request.path not in (*_OPEN, _READY):
            if request.path == "/":
                return web.Response(status=303, headers={"Location": "/login"})
            if request.path == "/metrics":
                asks = {"WWW-Authenticate": 'Basic realm="gasedge"'}
                return web.Response(status=401, text="log in first", headers=asks)
            raise web.HTTPUnauthorized(text="log in first")
        if posts and request.path != "/login":
            token = visitor.session.token if visitor and visitor.session else None
            if token is None or request.headers.get(TOKEN) != token:
                raise web.HTTPForbidden(text="this does not come from the page of a logged-in user")
        return None

    async def _visitor(self, request: web.Request, *, posts: bool) -> Visitor | None:
        if self._users is None:
            return Visitor("", Role.VIEWER, None)
        stamp = self._user_file()
        if stamp != self._stamp:  # somebody may have been removed or given another role
            self._stamp = stamp
            self.sessions.end_all()
        cookie = request.cookies.get(self._cookie)
        if cookie is not None:
            active = posts or ACTIVE in request.headers
            session = self.sessions.find(cookie, time.monotonic(), active=active)
            if session is not None:
                return Visitor(session.name, session.role, session)
        name, password = _basic(request.headers.get("Authorization", ""))
        if name and not posts:
            role = await self._role(name, password, request)
            if role is not None:
                return Visitor(name, role, None)
            self._told("log-in", name, request, None)
        return None

    def _must_be_from_the_page(self, request: web.Request) -> None:
        own = f"{request.scheme}://{request.host}"
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.headers.get("Origin") != own or site != "same-origin":
            raise web.HTTPForbidden(text="this does not come from the page")

    async def _role(self, name: str, password: str, request: web.Request) -> Role | None:
        users = self._users
        if users is None:
            return None
        if self._waiting >= _MOST_WAITING:
            raise web.HTTPTooManyRequests(text="too many log-ins at a time; try again")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                origin = f"page {request.remote}"
                return await asyncio.to_thread(users.log_in, name, password, origin)
        except GasedgeError as error:
            _log.error("page: nobody can log in: %s", error)
            return None
        finally:
            self._waiting -= 1

    def _user_file(self) -> tuple[int, int, int] | None:
        if self._config.users is None:
            return None
        try:
            found = self._config.users.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _told(self, what: str, name: str, request: web.Request, role: Role | None) -> None:
        if role is None:
            _refused.warning("page: %s of %.64r from %s refused", what, name, request.remote)
        else:
            _log.info("page: %s of %.64r from %s", what, name, request.remote)
        if self._note is not None:
            entry = Entry(
                Category.ACCESS,
                subject=what,
                who=name[:64],
                role=role.label if role is not None else "",
                origin=f"page {request.remote}",
                result="done" if role is not None else "refused",
            )
            self._note(entry)


async def asked(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request's body.

    Raises:
        web.HTTPBadRequest: when it is none, or larger than anything the page sends.
    """
    if request.content_type != "application/json":
        raise web.HTTPBadRequest(text="the body must be JSON")
    if (request.content_length or 0) > _MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(_MAX_BODY, request.content_length or 0)
    try:
        found = await asyncio.wait_for(request.json(), _BODY_S)
    except asyncio.TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not come") from error
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text="the body is no JSON") from error
    if not isinstance(found, dict):
        raise web.HTTPBadRequest(text="the body must be an object")
    return found


def _names_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return is_loopback(name.strip("[]").lower())


def _basic(header: str) -> tuple[str, str]:
    """Name and password of an `Authorization: Basic` header; empty when it is none."""
    kind, _, text = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII, no UTF-8
        return "", ""
    return name, password
