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
from contract.audit import Category, Entry
from contract.errors import InputError
from contract.roles import Role
from edge_runtime.plant.evidence_told import Evidence
from edge_runtime.plant.messages import message_from_fields, wire_from_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.tags import Value
    from edge_runtime.plant.messages import Picture, Sent

__all__ = [
    "Answer",
    "Asked",
    "Kept",
    "Maintain",
    "Note",
    "Relayed",
    "Subscription",
    "Word",
    "decode_relayed",
    "encode_relayed",
]


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


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be written into the audit journal, under the number of its answer."""

    n: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Maintain:
    """Why the device needs maintenance; no text ends that."""

    reason: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Word:
    """What the gateway itself says of a camera."""

    camera: str
    values: dict[str, Value]
    warnings: int  # `HealthCode`


@dataclass(frozen=True, slots=True)
class Kept:
    """Evidence that was kept, under the number by which its answer is known again."""

    n: int
    evidence: Evidence


Relayed = Subscription | Asked | Answer | Alarm | Note | Maintain | Word | Kept


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
        reader = _READERS.get(said["kind"])
        return message_from_fields(said, blob) if reader is None else reader(said)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a message of the plant relay is damaged: {error!r}") from error


def _alarm(said: dict[str, Any]) -> Alarm:
    state, about = AlarmState[said["state"]], AlarmKind[said["kind_of_alarm"]]
    return Alarm(**{**_known(Alarm, said), "state": state, "kind": about})


def _asked(said: dict[str, Any]) -> Asked:
    given = dict(said["action"])
    given["kind"], given["role"] = ActionKind[given["kind"]], Role[given["role"]]
    return Asked(int(said["n"]), Action(**_known(Action, given)))


def _note(said: dict[str, Any]) -> Note:
    given = dict(said["entry"])
    given["category"] = Category[given["category"]]
    return Note(int(said["n"]), Entry(**_known(Entry, given)))


def _maintain(said: dict[str, Any]) -> Maintain:
    text = said["text"]
    return Maintain(str(said["reason"]), None if text is None else str(text))


_READERS: dict[str, Callable[[dict[str, Any]], Relayed]] = {
    "alarm": _alarm,
    "asked": _asked,
    "answer": lambda said: Answer(int(said["n"]), Outcome[said["outcome"]]),
    "subscription": lambda said: Subscription(pictures=bool(said["pictures"])),
    "note": _note,
    "kept": lambda said: Kept(int(said["n"]), Evidence(**dict(said["evidence"]))),
    "maintain": _maintain,
    "word": lambda said: Word(str(said["camera"]), dict(said["values"]), int(said["warnings"])),
}


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


def _known(kind: type[Alarm | Action | Entry], said: dict[str, Any]) -> dict[str, Any]:
    return {each.name: said[each.name] for each in fields(kind) if each.name in said}
