"""An audit record as a syslog message: RFC 5424, one line, every field as structured data."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract.audit import AuditRecord

__all__ = ["message_of", "octet_counted"]

_FACILITY = 13  # log audit
_NOTICE, _WARNING, _INFORMATIONAL = 5, 4, 6
# 32473 is kept for examples (RFC 5612): the project has no enterprise number of its own
_ID = "audit@32473"
_BOM = b"\xef\xbb\xbf"
_FIELDS = (
    "n",
    "category",
    "subject",
    "who",
    "role",
    "origin",
    "old",
    "new",
    "result",
    "comment",
    "clock_ok",
    "boot_id",
    "hash",
)


def message_of(record: AuditRecord, host: str) -> bytes:
    """The message, with the record's own time in UTC.

    Args:
        record: of the journal.
        host: name of the device, printable ASCII; other characters become "-".
    """
    at = dt.datetime.fromtimestamp(record.at_ns // 1_000_000_000, dt.timezone.utc)
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{record.at_ns // 1000 % 1_000_000:06d}Z"
    fields = " ".join(f'{name}="{_escaped(_text(getattr(record, name)))}"' for name in _FIELDS)
    head = (
        f"<{_FACILITY * 8 + _severity(record)}>1 {stamp} {_token(host, 255)} gasedge - "
        f"{_token(record.category.upper(), 32)} [{_ID} {fields}] "
    )
    return head.encode() + _BOM + _words(record).encode()


def octet_counted(message: bytes) -> bytes:
    """A message as it goes over TCP and TLS (RFC 6587 section 3.4.1, RFC 5425)."""
    return b"%d %s" % (len(message), message)


def _severity(record: AuditRecord) -> int:
    if record.result != "done":
        return _WARNING
    return _NOTICE if record.category in ("alarm", "action", "configuration") else _INFORMATIONAL


def _words(record: AuditRecord) -> str:
    """For who reads the line: the fields in words."""
    change = f" {record.old or '-'} -> {record.new}" if record.new else ""
    by = f" by {record.who} ({record.role or '-'}) from {record.origin}" if record.who else ""
    result = f": {record.result}" if record.result != "done" else ""
    comment = f" ({record.comment})" if record.comment else ""
    return f"{record.subject}{change}{by}{result}{comment}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("]", r"\]")


def _token(text: str, longest: int) -> str:
    kept = "".join(each if "!" <= each <= "~" else "-" for each in text[:longest])
    return kept or "-"
