"""What a client is subscribed to: bounded, and event filters that know an event's supertypes.

asyncua 2.1 compares the type in an `OfType` clause for equality, so that the filter which every
alarm client sends, "of type AcknowledgeableConditionType", lets nothing through; and it knows an
event's field only by the first name of its path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.events import Event
from asyncua.common.utils import ServiceError
from asyncua.server.monitored_item_service import (
    MonitoredItemService,
    MonitoredItemValues,
    WhereClauseEvaluator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BoundedItems"]

_MAX_ITEMS = 16_000  # of all clients: every node of 16 cameras for each of eight
_MAX_EVENT_ITEMS = 4  # of one subscription
_MAX_FIELDS = 128  # of one event
_MAX_CLAUSES = 64
_EVENT_QUEUE = 500  # a refresh of all alarms of 16 cameras, twice over


class BoundedItems(MonitoredItemService):  # type: ignore[misc]
    """The monitored items of one subscription.

    Args:
        subscription: whose they are.
        space: the address space.
        subscriptions: of all clients, by number.
    """

    def __init__(self, subscription: Any, space: Any, subscriptions: dict[int, Any]) -> None:
        super().__init__(subscription, space)
        self._subscriptions = subscriptions

    async def create_monitored_items(self, params: Any) -> Any:
        """Refuse more items than any plant needs."""
        held = sum(
            len(each.monitored_item_srv._monitored_items)  # noqa: SLF001 - no other way
            for each in self._subscriptions.values()
        )
        if held + len(params.ItemsToCreate) > _MAX_ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    def _create_events_monitored_item(self, params: Any) -> Any:
        wanted = params.RequestedParameters.Filter
        clauses = getattr(wanted, "SelectClauses", None)
        where = getattr(getattr(wanted, "WhereClause", None), "Elements", None) or ()
        held = sum(len(numbers) for numbers in self._monitored_events.values())
        if held >= _MAX_EVENT_ITEMS:
            refused = ua.MonitoredItemCreateResult()
            refused.StatusCode = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
            return refused
        if not clauses or len(clauses) > _MAX_FIELDS or len(where) > _MAX_CLAUSES:
            refused = ua.MonitoredItemCreateResult()
            refused.StatusCode = ua.StatusCode(ua.StatusCodes.BadEventFilterInvalid)
            return refused
        values_queue = self.isub.max_queue_size
        self.isub.max_queue_size = _EVENT_QUEUE  # an alarm too many is lost for good
        try:
            result = super()._create_events_monitored_item(params)
        finally:
            self.isub.max_queue_size = values_queue
        if result.StatusCode.is_good():
            item = self._monitored_items[result.MonitoredItemId]
            item.where_clause_evaluator = _TypedFilter(
                self.logger, self.aspace, item.filter.WhereClause
            )
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
        return isinstance(wanted, ua.DataChangeFilter) and wanted.Trigger == stamped


class _Values(MonitoredItemValues):  # type: ignore[misc]
    """The last two values of an item; none is ever changed in place, so none need be copied."""

    def set_current_datavalue(self, cur_val: Any) -> None:
        self.old_dvalue = self.get_current_datavalue()
        self.current_dvalue = cur_val


class _TypedFilter(WhereClauseEvaluator):  # type: ignore[misc]
    """A where-clause under which an event is of its type and of all types above."""

    def _eval_el(self, index: int, event: Any) -> Any:
        element = self.elements[index]
        if element.FilterOperator != ua.FilterOperator.OfType:
            return super()._eval_el(index, event)
        wanted = self._eval_op(element.FilterOperands[0], event)
        return wanted in self._types(event.EventType)

    def _eval_op(self, op: Any, event: Any) -> Any:
        if isinstance(op, ua.SimpleAttributeOperand) and op.BrowsePath:
            # an event without the field has null there
            return getattr(event, Event.browse_path_to_attribute_name(op.BrowsePath), None)
        return super()._eval_op(op, event)

    def _types(self, kind: Any) -> Iterator[Any]:
        """A type and what it is a subtype of, upwards."""
        while kind is not None:
            yield kind
            node = self._aspace.get(kind)
            above = [
                each.NodeId
                for each in (node.references if node is not None else ())
                if not each.IsForward and each.ReferenceTypeId == _SUBTYPE
            ]
            kind = above[0] if above else None


_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
