"""What a client is subscribed to: bounded, by filters that hide nothing and can always be judged.

An exception while a value or an event is told would end the server for everybody, so whatever could
raise one is refused when it is asked for.
"""

from __future__ import annotations

import logging
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.monitored_item_service import MonitoredItemService, MonitoredItemValues

from edge_runtime.plant.opcua_events import TypedFilter, can_be_judged

__all__ = ["BoundedItems"]

_log = logging.getLogger(MonitoredItemService.__module__)  # spared with the library's others

_CODES = ua.StatusCodes
_MAX_ITEMS = 16_000  # of all clients: every node of 16 cameras for each of eight
_MAX_ITEMS_EACH = 3_000  # of one subscription: what it tells is put into bytes at one go
_MAX_ALIKE = 4  # of one subscription, on the same attribute
_MAX_EVENT_ITEMS = 4  # of one subscription
_EVENT_QUEUE = 500  # a refresh of all alarms of 16 cameras, twice over
_ValueFilter = ua.uaprotocol_auto.DataChangeFilter  # as it comes over the wire; `ua` has a subclass


class BoundedItems(MonitoredItemService):  # type: ignore[misc]
    """The monitored items of one subscription.

    Args:
        subscription: whose they are.
        space: the address space.
        subscriptions: of all clients, by number.
    """

    logger: logging.Logger

    def __init__(self, subscription: Any, space: Any, subscriptions: dict[int, Any]) -> None:
        super().__init__(subscription, space)
        # the library names a logger after each subscription, and none of them ever ends
        own = f"{_log.name}.{subscription.data.SubscriptionId}"
        logging.Logger.manager.loggerDict.pop(own, None)
        self.logger = _log
        self._subscriptions = subscriptions

    async def create_monitored_items(self, params: Any) -> Any:
        """Refuse more items than any plant needs."""
        held = sum(
            len(each.monitored_item_srv._monitored_items)  # noqa: SLF001 - no other way
            for each in self._subscriptions.values()
        )
        asked = len(params.ItemsToCreate)
        if held + asked > _MAX_ITEMS or len(self._monitored_items) + asked > _MAX_ITEMS_EACH:
            raise ServiceError(_CODES.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        if not _hides_nothing(params.RequestedParameters.Filter):
            return _refused(_CODES.BadMonitoredItemFilterUnsupported)
        place = params.ItemToMonitor
        node = self.aspace.get(place.NodeId)
        attribute = None if node is None else node.attributes.get(place.AttributeId)
        if attribute is not None:
            told = attribute.datachange_callbacks.values()
            if sum(each.__self__ is self for each in told) >= _MAX_ALIKE:
                return _refused(_CODES.BadTooManyMonitoredItems)
        if self._is_large(place.NodeId):
            params.RequestedParameters.QueueSize = 1
        return await super()._create_data_change_monitored_item(params)

    def _is_large(self, node: Any) -> bool:
        """Whether a value is of a type that masks and schemas are of."""
        kind = self.aspace.read_attribute_value(node, ua.AttributeIds.DataType).Value
        return kind is not None and kind.Value == ua.NodeId(ua.ObjectIds.ByteString)

    def _create_events_monitored_item(self, params: Any) -> Any:
        held = sum(len(numbers) for numbers in self._monitored_events.values())
        if held >= _MAX_EVENT_ITEMS:
            return _refused(_CODES.BadTooManyMonitoredItems)
        wanted = params.RequestedParameters.Filter
        if not can_be_judged(wanted) or not self._judge(wanted).compares_what_alarms_have():
            return _refused(_CODES.BadEventFilterInvalid)
        values_queue = self.isub.max_queue_size
        self.isub.max_queue_size = _EVENT_QUEUE  # an alarm too many is lost for good
        try:
            result = super()._create_events_monitored_item(params)
        finally:
            self.isub.max_queue_size = values_queue
        if result.StatusCode.is_good():
            item = self._monitored_items[result.MonitoredItemId]
            item.where_clause_evaluator = self._judge(item.filter)
        return result

    def _judge(self, wanted: Any) -> TypedFilter:
        return TypedFilter(self.logger, self.aspace, wanted.WhereClause)

    def _modify_monitored_item(self, params: Any) -> Any:
        """Change what does no harm: the library would take a filter and a queue as they come."""
        result = ua.MonitoredItemModifyResult()
        asked = params.RequestedParameters
        item = self._monitored_items.get(params.MonitoredItemId)
        if item is None:
            result.StatusCode = ua.StatusCode(_CODES.BadMonitoredItemIdInvalid)
        elif asked.Filter and asked.Filter != item.filter:  # it takes a new item
            result.StatusCode = ua.StatusCode(_CODES.BadMonitoredItemFilterUnsupported)
        else:
            item.client_handle = asked.ClientHandle
            result.RevisedSamplingInterval = self.isub.data.RevisedPublishingInterval
            result.RevisedQueueSize = item.queue_size
        return result

    def _make_monitored_item_common(self, params: Any) -> Any:
        result, item = super()._make_monitored_item_common(params)
        item.mvalue = _Values()
        return result, item

    async def tell_anyway(self, event: Any, number: int) -> None:
        """Tell an item of an event whatever its filter says."""
        item = self._monitored_items[number]
        told = ua.EventFieldList()
        told.ClientHandle = item.client_handle
        told.EventFields = event.to_event_fields(item.filter.SelectClauses)
        await self.isub.enqueue_event(number, told, item.queue_size)

    def wants_time(self, handle: int) -> bool:
        """Whether an item is to be told a value that is new in its source time alone."""
        wanted = self._monitored_items[self._monitored_datachange[handle]].filter
        stamped = ua.DataChangeTrigger.StatusValueTimestamp
        return isinstance(wanted, _ValueFilter) and wanted.Trigger == stamped

    def _is_deadband_exceeded(self, values: Any, wanted: Any) -> bool:
        del values, wanted
        return True  # an item with a deadband is never made


class _Values(MonitoredItemValues):  # type: ignore[misc]
    """The last two values of an item; none is ever changed in place, so none need be copied."""

    def set_current_datavalue(self, cur_val: Any) -> None:
        self.old_dvalue = self.get_current_datavalue()
        self.current_dvalue = cur_val


def _hides_nothing(wanted: Any) -> bool:
    """Whether a value's filter is one without a deadband.

    The library compares with the value before, told or not: a score that rises slowly would never
    be told, nor would a value that turns stale as it stands.
    """
    if not wanted:  # none at all is an extension object without a body
        return True
    return isinstance(wanted, _ValueFilter) and not (wanted.DeadbandType and wanted.DeadbandValue)


def _refused(status: int) -> Any:
    result = ua.MonitoredItemCreateResult()
    result.StatusCode = ua.StatusCode(status)
    return result
