"""What a client may call: the alarm methods of Part 9, nothing else, under the type's method ids.

Each becomes an `Action` for the desk, which judges the role, does it and writes it down; what the
desk answers becomes the status that Part 9 names for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncua import ua

from contract.alarms import Action, ActionKind, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from contract.alarms import Alarm
    from contract.roles import Role
    from edge_runtime.plant.opcua_conditions import Conditions

__all__ = ["Caller", "Methods"]

_IDS = ua.ObjectIds
_CODES = ua.StatusCodes
_MAX_CALLS = 250  # in one request: as many as there can be alarms
_MAX_COMMENT = 500  # characters
_BYTES, _TEXT = ua.VariantType.ByteString, ua.VariantType.LocalizedText
_NUMBER = ua.VariantType.Double


class Caller(NamedTuple):
    """Who calls."""

    name: str
    role: Role
    origin: str  # "opcua 10.1.2.3"
    session: Any  # asyncua's id of the session


class _Method(NamedTuple):
    kind: ActionKind
    arguments: tuple[ua.VariantType, ...] = ()
    already: int = _CODES.BadNothingToDo  # status when it already is so
    one_shot: bool = False


_EVENT_AND_COMMENT = (_BYTES, _TEXT)
_UNSHELVE = _Method(ActionKind.UNSHELVE, already=_CODES.BadConditionNotShelved)
_TIMED = _Method(ActionKind.SHELVE, (_NUMBER,), already=_CODES.BadConditionAlreadyShelved)
_ONE_SHOT = _Method(ActionKind.SHELVE, already=_CODES.BadConditionAlreadyShelved, one_shot=True)
_METHODS = {
    _IDS.AcknowledgeableConditionType_Acknowledge: _Method(
        ActionKind.ACKNOWLEDGE, _EVENT_AND_COMMENT, _CODES.BadConditionBranchAlreadyAcked
    ),
    _IDS.AcknowledgeableConditionType_Confirm: _Method(
        ActionKind.CONFIRM, _EVENT_AND_COMMENT, _CODES.BadConditionBranchAlreadyConfirmed
    ),
    _IDS.ConditionType_AddComment: _Method(ActionKind.COMMENT, _EVENT_AND_COMMENT),
    _IDS.AlarmConditionType_Reset: _Method(ActionKind.RESET),
    _IDS.AlarmConditionType_RemoveFromService: _Method(ActionKind.TAKE_OUT),
    _IDS.AlarmConditionType_PlaceInService: _Method(ActionKind.PUT_BACK),
    # clients name them after the condition's type or after the state machine's
    _IDS.AlarmConditionType_ShelvingState_TimedShelve: _TIMED,
    _IDS.ShelvedStateMachineType_TimedShelve: _TIMED,
    _IDS.AlarmConditionType_ShelvingState_OneShotShelve: _ONE_SHOT,
    _IDS.ShelvedStateMachineType_OneShotShelve: _ONE_SHOT,
    _IDS.AlarmConditionType_ShelvingState_Unshelve: _UNSHELVE,
    _IDS.ShelvedStateMachineType_Unshelve: _UNSHELVE,
}
_REFRESH = {
    _IDS.ConditionType_ConditionRefresh: 1,
    _IDS.ConditionType_ConditionRefresh2: 2,
}
_STATUS = {
    Outcome.DONE: _CODES.Good,
    Outcome.UNKNOWN_ALARM: _CODES.BadNodeIdUnknown,
    Outcome.NOT_ALLOWED: _CODES.BadUserAccessDenied,
    Outcome.OTHER_EVENT: _CODES.BadEventIdUnknown,
    Outcome.NOT_YET: _CODES.BadInvalidState,
    Outcome.OUT_OF_BOUNDS: _CODES.BadShelvingTimeOutOfRange,
    Outcome.NOT_KEPT: _CODES.BadResourceUnavailable,
    Outcome.UNANSWERED: _CODES.BadTimeout,
}


class Methods:
    """Answers calls.

    Args:
        conditions: whose methods they are.
        subscriptions: of the server, by number.
        act: hands an action to the desk.
        longest_s: by camera, how long a one-shot shelving lasts at most.
    """

    def __init__(
        self,
        conditions: Conditions,
        subscriptions: dict[int, Any],
        act: Callable[[Action], Awaitable[Outcome]],
        *,
        longest_s: Mapping[str, float],
    ) -> None:
        self._conditions = conditions
        self._subscriptions = subscriptions
        self._act = act
        self._longest_s = longest_s

    async def call(self, caller: Caller, requests: Sequence[Any]) -> list[Any]:
        """One result for each request of a client."""
        if len(requests) > _MAX_CALLS:
            return [_result(_CODES.BadTooManyOperations) for _ in requests]
        return [_result(await self._one(caller, each)) for each in requests]

    async def _one(self, caller: Caller, request: Any) -> int:
        number = request.MethodId.Identifier if request.MethodId.NamespaceIndex == 0 else None
        given = request.InputArguments or []
        if number in _REFRESH:
            return await self._refresh(caller, given, _REFRESH[number])
        method = _METHODS.get(number)
        if method is None:
            return int(_CODES.BadMethodInvalid)
        action = self._action(caller, method, self._conditions.alarm_of(request.ObjectId), given)
        if isinstance(action, int):
            return action
        outcome = await self._act(action)
        return method.already if outcome is Outcome.NOTHING_TO_DO else int(_STATUS[outcome])

    def _action(
        self, caller: Caller, method: _Method, alarm: Alarm | None, given: Sequence[Any]
    ) -> Action | int:
        """What is asked, or the status that says why it makes no sense."""
        if alarm is None:
            return int(_CODES.BadNodeIdUnknown)
        wrong = _fault(given, method.arguments)
        if wrong is not None:
            return wrong
        comment, activation, seconds = "", "", None
        if method.arguments == _EVENT_AND_COMMENT:
            known = self._conditions.activation_of(alarm.id, given[0].Value or b"")
            if known is None:
                return int(_CODES.BadEventIdUnknown)
            activation, comment = known, _clean(given[1].Value)
        elif method.arguments:
            seconds = given[0].Value / 1000.0
        elif method.one_shot:
            seconds = self._longest_s.get(alarm.camera)
        return Action(
            method.kind,
            alarm.id,
            who=caller.name,
            role=caller.role,
            origin=caller.origin,
            comment=comment,
            seconds=seconds,
            once=method.one_shot,
            event_id=activation,
        )

    async def _refresh(self, caller: Caller, given: Sequence[Any], arguments: int) -> int:
        wrong = _fault(given, (ua.VariantType.UInt32,) * arguments)
        if wrong is not None:
            return wrong
        subscription = self._subscriptions.get(given[0].Value)
        if subscription is None or subscription.session_id != caller.session:
            return int(_CODES.BadSubscriptionIdInvalid)
        item = given[1].Value if arguments == 2 else None
        items = subscription.monitored_item_srv._monitored_items  # noqa: SLF001 - no other way
        if item is not None and item not in items:
            return int(_CODES.BadMonitoredItemIdInvalid)
        await self._conditions.refresh(subscription, item)
        await asyncio.sleep(0)  # a request may hold hundreds of them
        return int(_CODES.Good)


def _fault(given: Sequence[Any], wanted: Sequence[ua.VariantType]) -> int | None:
    """Status for arguments that do not fit."""
    if len(given) < len(wanted):
        return int(_CODES.BadArgumentsMissing)
    if len(given) > len(wanted):
        return int(_CODES.BadTooManyArguments)
    for each, kind in zip(given, wanted, strict=True):
        empty = each.VariantType is ua.VariantType.Null and kind is not _NUMBER
        if (each.VariantType is not kind and not empty) or isinstance(each.Value, list):
            return int(_CODES.BadInvalidArgument)
        if kind is _NUMBER and not 0 < each.Value < float("inf"):
            return int(_CODES.BadShelvingTimeOutOfRange)
    return None


def _clean(comment: Any) -> str:
    """A comment in one line, as long as one."""
    text = getattr(comment, "Text", None) or ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MAX_COMMENT]


def _result(status: int) -> Any:
    return ua.CallMethodResult(StatusCode=ua.StatusCode(status))
