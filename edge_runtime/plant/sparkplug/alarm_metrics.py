"""Alarms as metrics of the node, and the metrics by which a host may ask something of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.alarms import Action, ActionKind
from edge_runtime.plant.sparkplug.wire import DataType, Metric

if TYPE_CHECKING:
    from contract.alarms import Alarm
    from contract.roles import Role

__all__ = ["COMMANDS", "AlarmCommand", "alarm_metrics"]

_ORIGIN = "sparkplug NCMD"


def alarm_metrics(alarm: Alarm, now_ms: int) -> list[Metric]:
    """An alarm as it stands, by names that begin with `Alarm/<id>/`; `now_ms` until it changed."""
    at_ms = alarm.changed_ns // 1_000_000 or now_ms
    onset_ms = alarm.onset_ns // 1_000_000 or None
    values = (
        ("State", DataType.UINT8, alarm.state.value),
        ("Active", DataType.BOOLEAN, alarm.active),
        ("Acked", DataType.BOOLEAN, alarm.acked),
        ("Severity", DataType.UINT16, alarm.severity),
        ("EventId", DataType.STRING, alarm.event_id),
        ("Onset", DataType.DATETIME, onset_ms),
        ("Message", DataType.STRING, alarm.message),
        ("Comment", DataType.STRING, alarm.comment),
        ("Who", DataType.STRING, alarm.who),
    )
    return [
        Metric(f"Alarm/{alarm.id}/{name}", None, at_ms, kind, value) for name, kind, value in values
    ]


@dataclass(frozen=True, slots=True)
class AlarmCommand:
    """One thing that a host may ask of each alarm, by writing to a metric."""

    name: str
    kind: ActionKind
    datatype: DataType

    def metric(self, alarm_id: str, at_ms: int) -> Metric:
        """The metric, at rest."""
        rest = False if self.datatype is DataType.BOOLEAN else 0.0
        return Metric(f"Alarm/{alarm_id}/{self.name}", None, at_ms, self.datatype, rest)

    def action(self, alarm: Alarm, value: object, role: Role) -> Action | None:
        """What a write of `value` asks; None when it asks nothing, as the metric at rest."""
        seconds = None
        if self.datatype is DataType.BOOLEAN:
            if value is not True:
                return None
        elif isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            seconds = 60.0 * value
        else:
            return None
        # Sparkplug knows no person: who may publish commands is the broker's to decide
        return Action(self.kind, alarm.id, "sparkplug", role, _ORIGIN, seconds=seconds)


COMMANDS = (
    AlarmCommand("Acknowledge", ActionKind.ACKNOWLEDGE, DataType.BOOLEAN),
    AlarmCommand("ShelveMinutes", ActionKind.SHELVE, DataType.FLOAT),
    AlarmCommand("Unshelve", ActionKind.UNSHELVE, DataType.BOOLEAN),
    AlarmCommand("Reset", ActionKind.RESET, DataType.BOOLEAN),
)
