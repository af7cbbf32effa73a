"""What the page shows of cameras and alarms, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.tags import TAGS, HealthCode, LeakState, Quality, TagType

if TYPE_CHECKING:
    from contract.alarms import Alarm
    from contract.tags import CameraSnapshot, Value
    from edge_runtime.plant.receiver import Board

__all__ = ["alarm_json", "camera_json", "reasons", "shown_state"]

_PLAIN = (TagType.BYTES,)  # not in the JSON: the picture shows the mask


def camera_json(board: Board, name: str) -> dict[str, Any]:
    """One camera at this moment."""
    snapshot = board.show(name).snapshot
    came_ms, age_ms = board.picture_ms(name) or (None, None)
    return {
        "camera": name,
        "unit_id": snapshot.unit_id,
        "quality": snapshot.quality.name,
        "state": shown_state(snapshot).name,
        "reasons": [bit.name for bit in reasons(snapshot)],
        "meanings": [bit.meaning for bit in reasons(snapshot)],
        "source_time_ns": snapshot.source_time_ns,
        "picture_ms": came_ms,  # tells pictures apart, and how much older one is than another
        "picture_age_ms": age_ms,
        "tags": {
            tag.name: _json(snapshot.value(tag.name)) for tag in TAGS if tag.type not in _PLAIN
        },
    }


def alarm_json(alarm: Alarm) -> dict[str, Any]:
    """One alarm; times are UTC in ms, None where there is none."""
    return {
        "id": alarm.id,
        "camera": alarm.camera,
        "kind": alarm.kind.value,
        "zone": alarm.zone,
        "state": alarm.state.name,
        "active": alarm.active,
        "acked": alarm.acked,
        "confirmed": alarm.confirmed,
        "retain": alarm.retain,
        "severity": alarm.severity,
        "message": alarm.message,
        "event_id": alarm.event_id,
        "onset_ms": _ms(alarm.onset_ns or None),
        "changed_ms": _ms(alarm.changed_ns or None),
        "comment": alarm.comment,
        "who": alarm.who,
        "shelved_until_ms": _ms(alarm.shelved_until_ns),
        "shelved_once": alarm.shelved_once,
        "chattering": alarm.chattering,
        "test": alarm.test,
    }


def shown_state(snapshot: CameraSnapshot) -> LeakState:
    """The leak state, UNKNOWN whenever quality is bad."""
    if snapshot.quality is Quality.BAD:
        return LeakState.UNKNOWN
    return LeakState(int(_number(snapshot.value("Leak/State"))))


def reasons(snapshot: CameraSnapshot) -> list[HealthCode]:
    """Why quality is not good, one bit each."""
    code = HealthCode(int(_number(snapshot.value("Health/Code"))))
    return [each for each in HealthCode if each in code]


def _ms(at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns // 1_000_000


def _number(value: Value) -> float:
    return value if isinstance(value, (int, float)) else 0


def _json(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value
