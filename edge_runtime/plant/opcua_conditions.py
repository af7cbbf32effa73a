"""Alarms & Conditions: the desk's alarms as nodes and events, and which event is known.

The desk of the gateway keeps the alarms; here they are only shown. asyncua delivers an event to
items on the very node that emits it and does not follow HasNotifier, so each is emitted on the
Server object, where alarm clients listen, and on its camera.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.events import Event

from edge_runtime.plant.opcua_condition_fields import (
    Condition,
    condition_fields,
    event_id,
    type_of,
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
        self._folders: set[str] = set()

    async def tell(self, alarm: Alarm, status: int) -> None:
        """Show an alarm as it is now.

        Args:
            alarm: as the desk has it.
            status: OPC UA status of what it is about.
        """
        before = self._shown.get(alarm.id)
        if before is not None and (before.alarm, before.status) == (alarm, status):
            return
        shown = Condition(
            alarm,
            status,
            node=ua.NodeId(f"/Alarms/{alarm.id}", self._index),
            source=ua.NodeId(_source(alarm), self._index),
            told_ns=self._clock_ns(),
            before=before.alarm if before is not None else None,
        )
        self._shown[alarm.id] = shown
        fields = self._fields[alarm.id] = condition_fields(shown)
        known = self._events.setdefault(alarm.id, OrderedDict())
        known[event_id(alarm, status)] = alarm.event_id
        while len(known) > _KNOWN_EVENTS:
            known.popitem(last=False)
        if before is None:
            await self._make(shown, fields)
        await self._tell_readers(shown, fields)
        # Part 9: what is not retained and was not before is of no interest to an operator
        if alarm.retain or (before is not None and before.alarm.retain):
            for node in (_SERVER, shown.source):
                event = _event(fields, shown.node, node)
                await self._core.subscription_service.trigger_event(event)

    def alarm_of(self, node: Any) -> Alarm | None:
        """The alarm whose condition or shelving state this node is."""
        alarm_id = self._by_node.get(node)
        return None if alarm_id is None else self._shown[alarm_id].alarm

    def activation_of(self, alarm_id: str, event: bytes) -> str | None:
        """The desk's id of the activation that an event told of; None for an unknown event."""
        return self._events.get(alarm_id, {}).get(event)

    async def refresh(self, subscription: Any, item: int | None) -> None:
        """Send every retained condition to one subscription, or one item of it, as it is now."""
        items = subscription.monitored_item_srv
        wanted = {
            emitter: [number for number in numbers if item is None or number == item]
            for emitter, numbers in items._monitored_events.items()  # noqa: SLF001 - no other way
        }
        for emitter, numbers in wanted.items():
            retained = [
                _event(self._fields[each.alarm.id], each.node, emitter)
                for each in self._shown.values()
                if each.alarm.retain and emitter in (_SERVER, each.source)
            ]
            begin = self._bracket(_IDS.RefreshStartEventType, emitter, b"begin")
            end = self._bracket(_IDS.RefreshEndEventType, emitter, b"end")
            for event in (begin, *retained, end):
                for number in numbers:
                    await items.trigger_event(event, number)

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
        return _event(fields, None, emitter)

    async def _tell_readers(self, shown: Condition, fields: Mapping[str, Any]) -> None:
        for path in fields:
            place = _place(shown.node, path)
            attribute = self._core.aspace[place].attributes[ua.AttributeIds.Value]
            if attribute.datachange_callbacks:
                data = self._read(shown.alarm.id, path)
                for handle, tell in tuple(attribute.datachange_callbacks.items()):
                    await tell(handle, data)

    def _read(self, alarm_id: str, path: str) -> Any:
        shown, now_ns = self._shown[alarm_id], self._clock_ns()
        fields = self._fields[alarm_id]
        if path == "ShelvingState/UnshelveTime":  # goes by by itself
            fields = condition_fields(_at(shown, now_ns))
        return ua.DataValue(
            fields[path],
            SourceTimestamp=time_from_ns(shown.told_ns),
            ServerTimestamp=time_from_ns(now_ns),
        )

    async def _make(self, shown: Condition, fields: Mapping[str, Any]) -> None:
        """Add the nodes of a condition below its camera."""
        alarm = shown.alarm
        parent = ua.NodeId(f"{_source(alarm)}/Alarms", self._index)
        organizes = ua.NodeId(_IDS.Organizes)
        if alarm.camera not in self._folders:
            self._folders.add(alarm.camera)
            name = ua.QualifiedName("Alarms", self._index)
            folder = ua.NodeId(_IDS.FolderType)
            await self._add(parent, name, shown.source, organizes, folder, ua.NodeClass.Object)
            camera = self._core.aspace[shown.source].attributes[ua.AttributeIds.EventNotifier]
            camera.value = ua.DataValue(ua.Variant(1, ua.VariantType.Byte))
            await self._link(_SERVER, ua.NodeId(_IDS.HasNotifier), shown.source)
        name = ua.QualifiedName(shown.name, self._index)
        kind = type_of(alarm.kind)
        await self._add(shown.node, name, parent, organizes, kind, ua.NodeClass.Object)
        await self._link(shown.source, ua.NodeId(_IDS.HasCondition), shown.node)
        shelving = _place(shown.node, "ShelvingState")
        component = ua.NodeId(_IDS.HasComponent)
        name = ua.QualifiedName("ShelvingState", 0)
        kind = ua.NodeId(_IDS.ShelvedStateMachineType)
        await self._add(shelving, name, shown.node, component, kind, ua.NodeClass.Object)
        for path, variant in fields.items():
            await self._add_field(shown, path, variant)
        for method in _METHODS:
            await self._link(shown.node, component, ua.NodeId(method))
        for method in _SHELVING_METHODS:
            await self._link(shelving, component, ua.NodeId(method))
        self._by_node[shown.node] = self._by_node[shelving] = alarm.id

    async def _add_field(self, shown: Condition, path: str, variant: Any) -> None:
        above, _, name = path.rpartition("/")
        place = _place(shown.node, path)
        kind = _VARIABLES.get(path)
        if f"{path}/Id" in self._fields[shown.alarm.id] and kind is None:
            kind = _TWO_STATES
        await self._add(
            place,
            ua.QualifiedName(name, 0),
            _place(shown.node, above) if above else shown.node,
            ua.NodeId(_IDS.HasProperty if kind is None else _IDS.HasComponent),
            kind or ua.NodeId(_IDS.PropertyType),
            ua.NodeClass.Variable,
            data_type=ua.NodeId(variant.VariantType.value),
        )
        alarm_id = shown.alarm.id
        self._core.aspace.set_attribute_value_callback(
            place, ua.AttributeIds.Value, lambda *_: self._read(alarm_id, path)
        ).check()

    async def _add(
        self,
        place: Any,
        name: Any,
        parent: Any,
        reference: Any,
        kind: Any,
        node_class: Any,
        *,
        data_type: Any = None,
    ) -> None:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId, item.BrowseName = place, name
        item.ParentNodeId, item.ReferenceTypeId = parent, reference
        item.TypeDefinition, item.NodeClass = kind, node_class
        if node_class is ua.NodeClass.Variable:
            item.NodeAttributes = ua.VariableAttributes(DataType=data_type)
        else:
            item.NodeAttributes = ua.ObjectAttributes()
        item.NodeAttributes.DisplayName = ua.LocalizedText(name.Name, "en")
        for result in await self._core.isession.add_nodes([item]):
            result.StatusCode.check()

    async def _link(self, source: Any, reference: Any, target: Any) -> None:
        item = ua.AddReferencesItem()
        item.SourceNodeId, item.ReferenceTypeId, item.TargetNodeId = source, reference, target
        item.IsForward = True
        for result in await self._core.isession.add_references([item]):
            result.check()


def _source(alarm: Alarm) -> str:
    """Identifier of the node that an alarm is about: its camera, or the device."""
    return f"/Cameras/{alarm.camera}" if alarm.camera else "/"


def _place(node: Any, path: str) -> Any:
    return ua.NodeId(f"{node.Identifier}/{path}", node.NamespaceIndex)


def _at(shown: Condition, now_ns: int) -> Condition:
    return Condition(shown.alarm, shown.status, shown.node, shown.source, now_ns, shown.before)


def _event(fields: Mapping[str, Any], node: Any, emitter: Any) -> Any:
    """An event of asyncua's with these fields, as told by `emitter`."""
    event = Event(emitter)
    for name, variant in fields.items():
        event.add_property(name, variant.Value, variant.VariantType)
    if node is not None:
        event.add_property("NodeId", node, ua.VariantType.NodeId)
    return event
