"""What travels between the gateway and the processes beside it, beyond what frames send.

Both ends are processes of one user and one version; a damaged message is refused all the same,
before it changes anything.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from contract.alarms import Action, ActionKind, Alarm, AlarmKind, AlarmState, Outcome
from contract.errors import InputError
from contract.roles import Role
from edge_runtime.plant.messages import message_from_fields, wire_from_header

if TYPE_CHECKING:
    from edge_runtime.plant.messages import Picture, Sent

__all__ = ["Answer", "Asked", "Relayed", "Subscription", "decode_relayed", "encode_relayed"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """The first word of a process: what it wants to hear."""

    pictures: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """An action under the number by which its answer is known again."""

    n: int
    action: Action


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the action of that number."""

    n: int
    outcome: Outcome


Relayed = Subscription | Asked | Answer | Alarm


def encode_relayed(message: Relayed) -> bytes:
    """Put a message of the relay into bytes.

    Raises:
        InputError: when it is too large.
    """
    kind = type(message).__name__.lower()
    return wire_from_header({"kind": kind, **_plain(asdict(message))})


def decode_relayed(header: bytes, blob: bytes) -> Relayed | Sent | Picture:
    """Read a message of the relay, or one of the frames process that is passed on.

    Raises:
        InputError: when anything in it is not as it must be.
    """
    try:
        said: dict[str, Any] = json.loads(header)
        kind = said["kind"]
        if kind == "alarm":
            state, about = AlarmState[said["state"]], AlarmKind[said["kind_of_alarm"]]
            return Alarm(**{**_known(Alarm, said), "state": state, "kind": about})
        if kind == "asked":
            given = dict(said["action"])
            given["kind"], given["role"] = ActionKind[given["kind"]], Role[given["role"]]
            return Asked(int(said["n"]), Action(**_known(Action, given)))
        if kind == "answer":
            return Answer(int(said["n"]), Outcome[said["outcome"]])
        if kind == "subscription":
            return Subscription(pictures=bool(said["pictures"]))
        return message_from_fields(said, blob)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a message of the plant relay is damaged: {error!r}") from error


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """The same with enumerations by name, and an alarm's kind out of the message kind's way."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        place = "kind_of_alarm" if isinstance(value, AlarmKind) else name
        if isinstance(value, dict):
            made[place] = _plain(value)
        else:
            made[place] = value.name if isinstance(value, Enum) else value
    return made


def _known(kind: type[Alarm | Action], said: dict[str, Any]) -> dict[str, Any]:
    return {each.name: said[each.name] for each in fields(kind) if each.name in said}
