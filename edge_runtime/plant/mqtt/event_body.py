"""An event as JSON: what happened to an alarm, with the values and the mask behind it.

docs/schemas/event-1.json describes every field. What an event says of its publishing, its number
and its mask is added when it goes out: the number is known only once it is kept.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from contract.alarms import AlarmState
from contract.camera_health import HealthCode
from contract.mask_encoding import size_of_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract.alarms import Alarm
    from contract.tags import CameraSnapshot
    from edge_runtime.outbox import Record

__all__ = [
    "SCHEMA",
    "TOLD",
    "alarm_event",
    "change_of",
    "evidence_event",
    "mask_number",
    "published_event",
]

SCHEMA = "gasedge/event/1"
_MASK_N = "mask_n"  # in the record only: which record of the masks belongs to it
_VALUES = {
    "frame_seq": "Frame/Seq",
    "state": "Leak/State",
    "score": "Leak/Score",
    "area_fraction": "Leak/AreaFraction",
    "area_px": "Leak/AreaPx",
    "bbox": "Leak/BBox",
    "quality": "Health/Quality",
    "ne107": "Health/NE107",
    "health_code": "Health/Code",
    "model_sha256": "Model/Sha256",
}

TOLD = frozenset(_VALUES.values()) | {"Mask/Data"}
"""Tags whose values go into an event."""


def change_of(before: Alarm | None, alarm: Alarm) -> str:
    """What happened, in one word, as `type` says it."""
    was_active = before is not None and before.active
    if alarm.active != was_active:
        return f"{alarm.kind.value}_{'on' if alarm.active else 'off'}"
    if before is None:
        return "changed"
    states = (before.state, alarm.state)
    for state, begun, ended in (
        (AlarmState.SHELVED, "shelve", "unshelve"),
        (AlarmState.OUT_OF_SERVICE, "out_of_service", "in_service"),
        (AlarmState.SUPPRESSED, "suppress", "unsuppress"),
    ):
        if state in states and states[0] is not states[1]:
            return begun if alarm.state is state else ended
    latched = (AlarmState.LATCH_ACKED, AlarmState.LATCH_UNACK)
    if alarm.acked != before.acked:
        said = "ack" if alarm.acked else "again"
    elif before.state in latched and alarm.state is AlarmState.NORM:
        said = "reset"
    elif alarm.confirmed and not before.confirmed:
        said = "confirm"
    elif alarm.comment != before.comment:
        said = "comment"
    else:
        said = "changed"
    return said


def alarm_event(
    kind: str,
    alarm: Alarm,
    snapshot: CameraSnapshot | None,
    *,
    origin: Mapping[str, Any],
    mask_n: int | None,
) -> bytes:
    """The record of a change of an alarm.

    Args:
        kind: what `change_of` says.
        alarm: as it is now.
        snapshot: of its camera at that moment; None for an alarm of the device.
        origin: what is the same for all events of now: site, box, series, boot_id,
            clock_ok, config_hash.
        mask_n: number of the mask's record, None without one.
    """
    values: dict[str, Any] = dict.fromkeys(_VALUES)
    captured_ns = 0
    if snapshot is not None:
        values = {name: snapshot.value(tag) for name, tag in _VALUES.items()}
        captured_ns = snapshot.source_time_ns
    code = HealthCode(values["health_code"] or 0)
    shelved = alarm.shelved_until_ns
    body = {
        **_head(kind, alarm.changed_ns, alarm.camera, alarm.event_id, origin),
        "alarm": alarm.id,
        "kind": alarm.kind.value,
        "zone": alarm.zone,
        "alarm_state": alarm.state.value,
        "active": alarm.active,
        "acked": alarm.acked,
        "confirmed": alarm.confirmed,
        "severity": alarm.severity,
        "message": alarm.message,
        "comment": alarm.comment,
        "who": alarm.who,
        "chattering": alarm.chattering,
        "t_onset": _text_time(alarm.onset_ns),
        "t_shelved_until": _text_time(shelved or 0),
        "t_capture": _text_time(captured_ns),
        **values,
        "test": alarm.test or bool(code & HealthCode.TEST_SOURCE),
        "evidence_sha256": None,
        _MASK_N: mask_n,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def evidence_event(
    camera: str, event_id: str, sha256: str, at_ns: int, *, origin: Mapping[str, Any]
) -> bytes:
    """The record that says which evidence was kept of an event."""
    body = {
        **_head("evidence", at_ns, camera, event_id, origin),
        "evidence_sha256": sha256,
        _MASK_N: None,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def mask_number(record: Record) -> int | None:
    """Number of the mask's record that belongs to an event's."""
    number = json.loads(record.body).get(_MASK_N)
    return number if isinstance(number, int) else None


def published_event(record: Record, mask: bytes | None, now_ns: int) -> tuple[str, bytes]:
    """The end of the topic and the message of a record.

    Args:
        record: as `alarm_event` made it, with its number.
        mask: GEM1, None where there is none or it had to be dropped.
        now_ns: UTC.
    """
    body = json.loads(record.body)
    had_mask = body.pop(_MASK_N) is not None
    body |= {"n": record.n, "t_publish": _text_time(now_ns)}
    if "alarm" in body:
        size = None if mask is None else size_of_mask(mask)
        body["mask_dropped"] = had_mask and size is None
        body["mask"] = None
        if mask is not None and size is not None:
            data = base64.b64encode(mask).decode("ascii")
            body["mask"] = {"enc": "GEM1", "w": size[0], "h": size[1], "b64": data}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return "/".join(part for part in (body["camera"], "event") if part), text.encode()


def _head(
    kind: str, at_ns: int, camera: str, event_id: str, origin: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "type": kind,
        **origin,
        "camera": camera or None,
        "event_id": event_id or None,
        "t_event": _text_time(at_ns),
    }


def _text_time(ns: int) -> str | None:
    """ISO 8601 in UTC with milliseconds; None for 0."""
    if not ns:
        return None
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    time = epoch + dt.timedelta(milliseconds=ns // 1_000_000)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
