"""Alarms & Conditions: the desk's alarms as nodes and events, and which event is known.

The desk of the gateway keeps the alarms; here they are only shown. asyncua delivers an event to
items on the very node that emits it and does not follow HasNotifier, so each is emitted on the
Server object, where alarm clients listen, and on its camera.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncua import ua

from edge_runtime.plant.opcua_condition_fields import (
    Condition,
    condition_fields,
    type_of,
)
from edge_runtime.plant.opcua_events import AlarmEvent
from edge_runtime.plant.opcua_nodes import (
    add,
    child,
    link,
    object_node,
    read_by,
    variable_node,
)
from edge_runtime.plant.opcua_time import time_from_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contract.alarms import Alarm

__all__ = ["Conditions"]

_IDS = ua.ObjectIds
_SERVER = ua.NodeId(_IDS.Server)
_KNOWN_EVENTS = 64  # of each alarm: older ones cannot be acknowledged any more
_METHODS = (
    _IDS.AcknowledgeableConditionType_Acknowledge,
    _IDS.AcknowledgeableConditionType_Confirm,
    _IDS.ConditionType_AddComment,
    _IDS.AlarmConditionType_Reset,
    _IDS.AlarmConditionType_RemoveFromService,
    _IDS.AlarmConditionType_PlaceInService,
)
_SHELVING_METHODS = (
    _IDS.AlarmConditionType_ShelvingState_TimedShelve,
    _IDS.AlarmConditionType_ShelvingState_OneShotShelve,
    _IDS.AlarmConditionType_ShelvingState_Unshelve,
)
_TWO_STATES = ua.NodeId(_IDS.TwoStateVariableType)
_CONDITION_VARIABLE = ua.NodeId(_IDS.ConditionVariableType)
_VARIABLES = {"Quality": _CONDITION_VARIABLE, "LastSeverity": _CONDITION_VARIABLE}
_VARIABLES["Comment"] = _CONDITION_VARIABLE
_VARIABLES["ShelvingState/CurrentState"] = ua.NodeId(_IDS.FiniteStateVariableType)


class Conditions:
    """All conditions of the server.

    Args:
        server: asyncua's server, initialised.
        index: of gasedge's namespace.
        clock_ns: UTC.
    """

    def __init__(self, server: Any, index: int, clock_ns: Callable[[], int]) -> None:
        self._core = server.iserver
        self._index = index
        self._clock_ns = clock_ns
        self._shown: dict[str, Condition] = {}
        self._fields: dict[str, dict[str, Any]] = {}
        self._events: dict[str, OrderedDict[bytes, str]] = {}
        self._by_node: dict[Any, str] = {}
        self._attributes: dict[str, dict[str, Any]] = {}  # of each alarm, by path

    async def tell(self, alarm: Alarm, status: int) -> None:
        """Show an alarm as it is now.

        Args:
            alarm: as the desk has it.
            status: OPC UA status of what it is about.
        """
        before = self._shown.get(alarm.id)
        if before is not None and (before.alarm, before.status) == (alarm, status):
            return
        told_ns = self._clock_ns()
        same = before is not None and before.alarm == alarm  # only looked at otherwise
        shown = Condition(
            alarm,
            status,
            node=ua.NodeId(f"/Alarms/{alarm.id}", self._index),
            source=ua.NodeId(_source(alarm), self._index),
            told_ns=told_ns,
            since_ns=told_ns if same else alarm.changed_ns or told_ns,
            before=before.alarm if before is not None else None,
        )
        self._shown[alarm.id] = shown
        fields = self._fields[alarm.id] = condition_fields(shown)
        known = self._events.setdefault(alarm.id, OrderedDict())
        known[shown.event_id] = alarm.event_id
        while len(known) > _KNOWN_EVENTS:
            known.popitem(last=False)
        if before is None:
            self._make(shown, fields)
        await self._tell_readers(shown)
        # Part 9: what is not retained and was not before is of no interest to an operator
        if alarm.retain or (before is not None and before.alarm.retain):
            for node in (_SERVER, shown.source):
                event = AlarmEvent(fields, node, shown.node)
                await self._core.subscription_service.trigger_event(event)

    def alarm_of(self, node: Any) -> Alarm | None:
        """The alarm whose condition or shelving state this node is."""
        alarm_id = self._by_node.get(node)
        return None if alarm_id is None else self._shown[alarm_id].alarm

    def activation_of(self, alarm_id: str, event: bytes) -> str | None:
        """The desk's id of the activation that an event told of; None for an unknown event."""
        known = self._events.get(alarm_id)
        return None if known is None else known.get(event)

    async def refresh(self, subscription: Any, item: int | None) -> None:
        """Send every retained condition to one subscription, or one item of it, as it is now."""
        items = subscription.monitored_item_srv
        wanted = {
            emitter: [number for number in numbers if item is None or number == item]
            for emitter, numbers in items._monitored_events.items()  # noqa: SLF001 - no other way
        }
        for emitter, numbers in wanted.items():
            retained = [
                AlarmEvent(self._fields[each.alarm.id], emitter, each.node)
                for each in self._shown.values()
                if each.alarm.retain and emitter in (_SERVER, each.source)
            ]
            begin = self._bracket(_IDS.RefreshStartEventType, emitter, b"begin")
            end = self._bracket(_IDS.RefreshEndEventType, emitter, b"end")
            for number in numbers:
                # a client must see where the refresh begins and ends whatever it filters for
                await items.tell_anyway(begin, number)
                for event in retained:
                    await items.trigger_event(event, number)
                await items.tell_anyway(end, number)

    def _bracket(self, kind: int, emitter: Any, mark: bytes) -> Any:
        now_ns = self._clock_ns()
        now = ua.Variant(time_from_ns(now_ns), ua.VariantType.DateTime)
        text = ua.LocalizedText("Refresh", "en")
        fields = {
            "EventId": ua.Variant(mark + now_ns.to_bytes(8, "big"), ua.VariantType.ByteString),
            "EventType": ua.Variant(ua.NodeId(kind), ua.VariantType.NodeId),
            "SourceNode": ua.Variant(_SERVER, ua.VariantType.NodeId),
            "SourceName": ua.Variant("Server", ua.VariantType.String),
            "Time": now,
            "ReceiveTime": now,
            "Message": ua.Variant(text, ua.VariantType.LocalizedText),
            "Severity": ua.Variant(1, ua.VariantType.UInt16),
        }
        return AlarmEvent(fields, emitter)

    async def _tell_readers(self, shown: Condition) -> None:
        for path, attribute in self._attributes[shown.alarm.id].items():
            if attribute.datachange_callbacks:
                data = self._read(shown.alarm.id, path)
                for handle, tell in tuple(attribute.datachange_callbacks.items()):
                    await tell(handle, data)

    def _read(self, alarm_id: str, path: str) -> Any:
        shown, now_ns = self._shown[alarm_id], self._clock_ns()
        fields = self._fields[alarm_id]
        if path == "ShelvingState/UnshelveTime":  # goes by by itself
            fields = condition_fields(replace(shown, told_ns=now_ns))
        return ua.DataValue(
            fields[path],
            SourceTimestamp=time_from_ns(shown.told_ns),
            ServerTimestamp=time_from_ns(now_ns),
        )

    def _make(self, shown: Condition, fields: Mapping[str, Any]) -> None:
        """Add the nodes of a condition below its camera."""
        alarm, node = shown.alarm, shown.node
        parent = child(shown.source, "Alarms")
        items = []
        if parent not in self._core.aspace:
            items.append(object_node(parent, self._named("Alarms"), shown.source))
        kind = type_of(alarm.kind)
        items.append(object_node(node, self._named(shown.name), parent, kind=kind))
        shelving = child(node, "ShelvingState")
        name, kind = ua.QualifiedName("ShelvingState"), ua.NodeId(_IDS.ShelvedStateMachineType)
        part = _IDS.HasComponent
        items.append(object_node(shelving, name, node, reference=part, kind=kind))
        items += [_field(node, path, variant, fields) for path, variant in fields.items()]
        add(self._core, items)
        link(self._core, shown.source, _IDS.HasCondition, [node])
        link(self._core, node, part, [ua.NodeId(each) for each in _METHODS])
        link(self._core, shelving, part, [ua.NodeId(each) for each in _SHELVING_METHODS])
        self._attributes[alarm.id] = {
            path: read_by(self._core, child(node, path), partial(self._read, alarm.id, path))
            for path in fields
        }
        self._by_node[node] = self._by_node[shelving] = alarm.id

    def _named(self, name: str) -> Any:
        return ua.QualifiedName(name, self._index)


def _field(node: Any, path: str, variant: Any, fields: Mapping[str, Any]) -> Any:
    above, _, name = path.rpartition("/")
    parent = child(node, above) if above else node
    kind = _VARIABLES.get(path) or (_TWO_STATES if f"{path}/Id" in fields else None)
    return variable_node(
        child(node, path),
        ua.QualifiedName(name),
        parent,
        variant.VariantType,
        reference=_IDS.HasProperty if kind is None else _IDS.HasComponent,
        kind=kind or ua.NodeId(_IDS.PropertyType),
    )


def _source(alarm: Alarm) -> str:
    """Identifier of the node that an alarm is about: its camera, or the device."""
    return f"/Cameras/{alarm.camera}" if alarm.camera else "/"
