"""What a person at the page asks of an alarm, handed to the desk as one action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from contract.alarms import Action, ActionKind, Outcome
from contract.plain_text import LONGEST_TEXT
from edge_runtime.plant.page_gate import asked, visitor_of

if TYPE_CHECKING:
    from contract.alarms import AlarmDesk
    from contract.roles import Role

__all__ = ["act", "allowed"]

_KINDS = {kind.label: kind for kind in ActionKind}
_STATUS = {
    Outcome.DONE: 200,
    Outcome.UNKNOWN_ALARM: 404,
    Outcome.NOT_ALLOWED: 403,
    Outcome.OUT_OF_BOUNDS: 400,
    Outcome.NOT_KEPT: 503,
}


def allowed(role: Role) -> list[str]:
    """Labels of what a role may ask."""
    return [kind.label for kind in ActionKind if role >= kind.role]


async def act(request: web.Request, desk: AlarmDesk) -> web.Response:
    """POST /act: `{"alarm": id, "kind": label, "event_id", "comment", "minutes", "once"}`."""
    visitor = visitor_of(request)
    if visitor is None or visitor.session is None:
        raise web.HTTPForbidden(text="log in first")
    action = _action(await asked(request), visitor.name, visitor.role, f"page {request.remote}")
    outcome = desk.act(action)
    return web.json_response(
        {"outcome": outcome.name, "message": outcome.value}, status=_STATUS.get(outcome, 409)
    )


def _action(given: dict[str, Any], who: str, role: Role, origin: str) -> Action:
    kind = _KINDS.get(str(given.get("kind")))
    if kind is None:
        raise web.HTTPBadRequest(text=f"kind must be one of {', '.join(_KINDS)}")
    minutes = given.get("minutes")
    if minutes is not None and (
        isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not minutes > 0
    ):
        raise web.HTTPBadRequest(text="minutes must be a number above 0")
    once = given.get("once", False)
    if not isinstance(once, bool):
        raise web.HTTPBadRequest(text="once must be true or false")
    comment = str(given.get("comment") or "").strip()
    if len(comment) > LONGEST_TEXT:
        raise web.HTTPBadRequest(text=f"a comment has at most {LONGEST_TEXT} characters")
    return Action(
        kind=kind,
        alarm_id=str(given.get("alarm")),
        who=who,
        role=role,
        origin=origin,
        comment=comment,
        seconds=None if minutes is None else minutes * 60,
        once=once,
        event_id=str(given.get("event_id") or ""),
    )
