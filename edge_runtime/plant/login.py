"""Who is logged in at the page: sessions that end when nobody is there, and in any case at last.

Pure: the time is an argument, and nothing here knows of HTTP.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract.roles import Role

__all__ = ["Session", "Sessions"]

_MOST = 256  # at a time; the one that has been quiet longest makes room


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in of one person."""

    name: str
    role: Role
    token: str  # an action must repeat it: a foreign site's form does not know it
    began_s: float  # monotonic
    active_s: float  # when its person last did something


class Sessions:
    """All log-ins; gone with the process, so that a restart logs everybody out.

    Args:
        idle_s: a session ends when its person did nothing for so long.
        session_s: and when it is so old, whatever its person does.
    """

    def __init__(self, *, idle_s: float, session_s: float) -> None:
        self._idle_s = idle_s
        self._session_s = session_s
        self._by_cookie: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_cookie)

    def begin(self, name: str, role: Role, now_s: float) -> str:
        """Log a person in; the answer is the secret that their browser keeps as a cookie."""
        self._forget_old(now_s)
        if len(self._by_cookie) >= _MOST:
            quietest = min(self._by_cookie, key=lambda key: self._by_cookie[key].active_s)
            del self._by_cookie[quietest]
        cookie = secrets.token_urlsafe(32)
        token = secrets.token_urlsafe(16)
        self._by_cookie[_key(cookie)] = Session(name, role, token, now_s, now_s)
        return cookie

    def find(self, cookie: str, now_s: float, *, active: bool = False) -> Session | None:
        """The session of a cookie, or None when there is none any more.

        Args:
            cookie: as the browser sent it.
            now_s: monotonic seconds.
            active: a person did something, it is not just the page that asks for news.
        """
        self._forget_old(now_s)
        found = self._by_cookie.get(_key(cookie))
        if found is not None and active:
            found = self._by_cookie[_key(cookie)] = replace(found, active_s=now_s)
        return found

    def end(self, cookie: str) -> None:
        """Log out; an unknown cookie is no error."""
        self._by_cookie.pop(_key(cookie), None)

    def end_all(self) -> None:
        """Log everybody out."""
        self._by_cookie.clear()

    def _forget_old(self, now_s: float) -> None:
        for key, each in tuple(self._by_cookie.items()):
            if now_s - each.active_s >= self._idle_s or now_s - each.began_s >= self._session_s:
                del self._by_cookie[key]


def _key(cookie: str) -> str:
    """What is kept instead of the secret itself; what a stranger sends need not be text."""
    return hashlib.sha256(cookie.encode(errors="surrogatepass")).hexdigest()
