"""The audit journal: who did what, from where and when, each record chained to the one before.

A record's hash is SHA-256 over all its other fields, the hash of the record before among them. So
no record can be changed, taken out or put in without every later hash being wrong. Only the newest
records can be cut off unseen: compare `n` and hash of the last one with what a syslog server or an
export holds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from contract.errors import InputError

__all__ = [
    "GENESIS",
    "AuditRecord",
    "Category",
    "Chain",
    "Entry",
    "chained",
    "record_from_json",
]

GENESIS = "0" * 64
"""What the first record of a chain names as the hash before it."""


class Category(Enum):
    """What a record is about, after the audit categories of IEC 62443-4-2 CR 2.8."""

    ALARM = "alarm"  # a change of an alarm, by itself or by an action
    ACTION = "action"  # what a person asked for and what became of it
    ACCESS = "access"  # log-ins and log-outs, refused or not
    CONFIGURATION = "configuration"
    SYSTEM = "system"  # starts, ends, storage
    COMMAND = "command"  # what came over a control protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written down; the journal adds number, time and hashes."""

    category: Category
    subject: str  # an alarm's id, a user, a file
    who: str = ""  # "" where nobody did it
    role: str = ""  # `Role.label`
    origin: str = ""  # "page 10.1.2.3"; "" for the device itself
    old: str = ""
    new: str = ""
    result: str = "done"  # or why not
    comment: str = ""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the journal."""

    n: int  # from 1, gapless
    at_ns: int  # UTC, ns since 1970
    clock_ok: bool  # whether the clock was kept by a time server
    boot_id: str  # of the machine's start
    category: str
    subject: str
    who: str
    role: str
    origin: str
    old: str
    new: str
    result: str
    comment: str
    previous: str  # hash of the record before
    hash: str = ""

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the fields."""
        values = {name: getattr(self, name) for name in _NAMES}
        return json.dumps(values, separators=(",", ":"), ensure_ascii=True)


_NAMES = [each.name for each in fields(AuditRecord)]
_TYPES = dict.fromkeys(_NAMES, str) | {"n": int, "at_ns": int, "clock_ok": bool}


def chained(record: AuditRecord) -> AuditRecord:
    """The same record with its hash filled in."""
    text = replace(record, hash="").to_json()
    return replace(record, hash=hashlib.sha256(text.encode()).hexdigest())


def record_from_json(text: str) -> AuditRecord:
    """Read what `AuditRecord.to_json` made.

    Raises:
        InputError: when it is no record.
    """
    try:
        values: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no record of an audit journal: {text[:80]!r}") from error
    if not isinstance(values, dict) or [*values] != _NAMES:
        raise InputError(f"no record of an audit journal: {text[:80]!r}")
    if any(type(values[name]) is not kind for name, kind in _TYPES.items()):
        raise InputError(f"no record of an audit journal: {text[:80]!r}")
    return AuditRecord(**values)


@dataclass(slots=True)
class Chain:
    """Checks records one after the other, from the first on; stays at the first fault."""

    n: int = 0  # records that were in order
    hash: str = GENESIS  # of the last of them
    fault: str = ""

    def take(self, record: AuditRecord) -> None:
        """Take in the next record."""
        if self.fault:
            return
        if record.n != self.n + 1:
            self.fault = f"record {record.n} follows record {self.n}"
        elif record.previous != self.hash:
            self.fault = f"record {record.n} follows another record {self.n} than the one here"
        elif chained(record).hash != record.hash:
            self.fault = f"record {record.n} was changed: its hash is not that of its text"
        else:
            self.n, self.hash = record.n, record.hash
