"""An alarm as a condition of OPC UA Part 9: every field of its events and of its node.

Pure: an alarm and what is known about it go in, names and variants come out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncua import ua

from contract.alarms import AlarmKind, AlarmState
from edge_runtime.plant.opcua_time import time_from_ns

if TYPE_CHECKING:
    from contract.alarms import Alarm

__all__ = ["Condition", "condition_fields", "type_of"]

_IDS = ua.ObjectIds
_ASIDE = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
_LATCHED = (AlarmState.LATCH_UNACK, AlarmState.LATCH_ACKED)
_CLASSES = {
    AlarmKind.LEAK: (_IDS.ProcessConditionClassType, "Process"),
    AlarmKind.FAILURE: (_IDS.SystemConditionClassType, "System"),
    AlarmKind.OFF_SPEC: (_IDS.SystemConditionClassType, "System"),
    AlarmKind.MAINTENANCE: (_IDS.MaintenanceConditionClassType, "Maintenance"),
}
_TESTING = (_IDS.TestingConditionClassType, "Testing")
_NAMES = {
    AlarmKind.LEAK: "LeakAlarm",
    AlarmKind.FAILURE: "FailureAlarm",
    AlarmKind.OFF_SPEC: "OffSpecAlarm",
    AlarmKind.MAINTENANCE: "MaintenanceAlarm",
}


def type_of(kind: AlarmKind) -> Any:
    """Node of the alarm's type: a leak is off normal, the others are diagnoses of the device."""
    leak = kind is AlarmKind.LEAK
    return ua.NodeId(_IDS.OffNormalAlarmType if leak else _IDS.InstrumentDiagnosticAlarmType)


@dataclass(frozen=True, slots=True)
class Condition:
    """An alarm and what its condition shows beside it."""

    alarm: Alarm
    status: int  # OPC UA status: bad or uncertain while nobody is looking
    node: Any  # its own node id
    source: Any  # node id of its camera
    told_ns: int  # when this was told, UTC
    since_ns: int  # when it became so, UTC
    before: Alarm | None = None  # as it was told before

    @property
    def event_id(self) -> bytes:
        """Id of the event that tells this: a change of an alarm has the same after a restart."""
        alarm = self.alarm
        told = f"{alarm.id}|{alarm.event_id}|{self.since_ns}|{alarm.state.name}|{self.status}"
        return hashlib.sha256(told.encode()).digest()[:16]

    @property
    def name(self) -> str:
        """Name of the condition, unique for its camera."""
        zone = self.alarm.zone
        return _NAMES[self.alarm.kind] + (f".{zone}" if zone else "")


def condition_fields(shown: Condition) -> dict[str, Any]:
    """Every field by its browse path, "ActiveState/Id", as a variant."""
    alarm, before = shown.alarm, shown.before or shown.alarm
    changed = _time(alarm.changed_ns or shown.told_ns)
    class_id, class_name = _TESTING if alarm.test else _CLASSES[alarm.kind]
    spoken = alarm.comment != before.comment or alarm.who != before.who
    return {
        "EventId": _variant(shown.event_id, "ByteString"),
        "EventType": _variant(type_of(alarm.kind), "NodeId"),
        "SourceNode": _variant(shown.source, "NodeId"),
        "SourceName": _variant(alarm.camera or "device", "String"),
        "Time": _time(shown.since_ns),
        "ReceiveTime": _time(shown.told_ns),
        "Message": _text(alarm.message),
        "Severity": _variant(alarm.severity, "UInt16"),
        "ConditionClassId": _variant(ua.NodeId(class_id), "NodeId"),
        "ConditionClassName": _text(class_name),
        "ConditionName": _variant(shown.name, "String"),
        "BranchId": _variant(ua.NodeId(), "NodeId"),
        "Retain": _variant(alarm.retain, "Boolean"),
        **_two_states("EnabledState", "Enabled", "Disabled", truth=True),
        "EnabledState/EffectiveDisplayName": _text(alarm.state.name),
        "Quality": _variant(ua.StatusCode(shown.status), "StatusCode"),
        "Quality/SourceTimestamp": _time(shown.told_ns),
        "LastSeverity": _variant(before.severity, "UInt16"),
        "LastSeverity/SourceTimestamp": changed,
        "Comment": _text(alarm.comment),
        "Comment/SourceTimestamp": changed if spoken else _time(before.changed_ns),
        "ClientUserId": _variant(alarm.who, "String"),
        **_two_states("AckedState", "Acknowledged", "Unacknowledged", truth=alarm.acked),
        **_two_states("ConfirmedState", "Confirmed", "Unconfirmed", truth=alarm.confirmed),
        **_two_states("ActiveState", "Active", "Inactive", truth=alarm.active),
        "ActiveState/EffectiveDisplayName": _text(alarm.state.name),
        "ActiveState/TransitionTime": _time(alarm.onset_ns) if alarm.active else changed,
        **_two_states(
            "SuppressedState",
            "Suppressed",
            "Unsuppressed",
            truth=alarm.state is AlarmState.SUPPRESSED,
        ),
        **_two_states(
            "OutOfServiceState",
            "Out of service",
            "In service",
            truth=alarm.state is AlarmState.OUT_OF_SERVICE,
        ),
        **_two_states("LatchedState", "Latched", "Unlatched", truth=alarm.state in _LATCHED),
        "SuppressedOrShelved": _variant(alarm.state in _ASIDE, "Boolean"),
        "NormalState": _variant(ua.NodeId(), "NodeId"),
        **_shelving(alarm, shown.told_ns),
    }


def _shelving(alarm: Alarm, now_ns: int) -> dict[str, Any]:
    until_ns = alarm.shelved_until_ns
    shelved = alarm.state is AlarmState.SHELVED and until_ns is not None
    state, said = _IDS.ShelvedStateMachineType_Unshelved, "Unshelved"
    if shelved and alarm.shelved_once:
        state, said = _IDS.ShelvedStateMachineType_OneShotShelved, "One Shot Shelved"
    elif shelved:
        state, said = _IDS.ShelvedStateMachineType_TimedShelved, "Timed Shelved"
    left_ms = max(0.0, ((until_ns or 0) - now_ns) / 1e6) if shelved else 0.0
    return {
        "ShelvingState/CurrentState": _text(said),
        "ShelvingState/CurrentState/Id": _variant(ua.NodeId(state), "NodeId"),
        "ShelvingState/UnshelveTime": _variant(left_ms, "Double"),
    }


def _two_states(name: str, true: str, false: str, *, truth: bool) -> dict[str, Any]:
    return {
        name: _text(true if truth else false),
        f"{name}/Id": _variant(truth, "Boolean"),
    }


def _time(ns: int) -> Any:
    return _variant(time_from_ns(ns), "DateTime")


def _text(text: str) -> Any:
    return _variant(ua.LocalizedText(text, "en"), "LocalizedText")


def _variant(value: Any, kind: str) -> Any:
    return ua.Variant(value, ua.VariantType[kind])
