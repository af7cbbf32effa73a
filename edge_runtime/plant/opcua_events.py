"""Events as clients ask for them: the fields that they select, and the filter that they must pass.

asyncua 2.1 raises where the event is told for a field that no event has, judges an element of a
filter once for each mention, knows a field only by the first name of its path, and compares the
type in an `OfType` clause for equality, so that the filter which every alarm client sends, "of type
AcknowledgeableConditionType", lets nothing through. What it cannot judge it does not let through,
a severity that is to be greater than a text among it: a client would hear of no alarm, and not know
why. So that is refused when it is asked for.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.monitored_item_service import WhereClauseEvaluator

from contract.alarms import Alarm, AlarmKind, AlarmState
from edge_runtime.plant.opcua_condition_fields import Condition, condition_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["AlarmEvent", "TypedFilter", "can_be_judged"]

_MAX_FIELDS = 128  # of one event
_MAX_ELEMENTS = 64
_MAX_OPERANDS = 256  # of all elements
_MAX_PATH = 8  # names
_IS = ua.FilterOperator
_OPERANDS = {  # how many of them an operator takes at least; all that asyncua can judge
    _IS.Equals: 2,
    _IS.IsNull: 1,
    _IS.GreaterThan: 2,
    _IS.LessThan: 2,
    _IS.GreaterThanOrEqual: 2,
    _IS.LessThanOrEqual: 2,
    _IS.Not: 1,
    _IS.Between: 3,
    _IS.InList: 2,
    _IS.And: 2,
    _IS.Or: 2,
    _IS.OfType: 1,
}
_ORDERS = (_IS.GreaterThan, _IS.LessThan, _IS.GreaterThanOrEqual, _IS.LessThanOrEqual, _IS.Between)
_LITERALS = (
    bool,
    int,
    float,
    str,
    bytes,
    dt.datetime,
    ua.NodeId,
    ua.QualifiedName,
    ua.LocalizedText,
    ua.StatusCode,
    type(None),
)
_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)


class AlarmEvent:
    """An event: its fields, and who tells it.

    Args:
        fields: by browse path, "ActiveState/Id".
        emitter: node id of the object that tells it; the library looks for its listeners there.
        condition: node id of what it is about; None for no condition.
    """

    def __init__(self, fields: Mapping[str, Any], emitter: Any, condition: Any = None) -> None:
        self.emitting_node = emitter
        self._fields = fields
        self._condition = ua.Variant(condition)

    def field(self, operand: Any) -> Any:
        """The variant that an operand means; null for what this event has not."""
        if not operand.BrowsePath and operand.AttributeId == ua.AttributeIds.NodeId:
            return self._condition
        name = "/".join(part.Name or "" for part in operand.BrowsePath or ())
        return self._fields.get(name) or ua.Variant(None)

    @property
    def kind(self) -> Any:
        """Node id of its type."""
        return self._fields["EventType"].Value

    def to_event_fields(self, clauses: Sequence[Any]) -> list[Any]:
        """The fields that a client selected, in its order."""
        return [self.field(each) for each in clauses]


def can_be_judged(wanted: Any) -> bool:
    """Whether a filter is one that every event can be judged by, in bounded time and memory."""
    if not isinstance(wanted, ua.EventFilter):
        return False
    elements = getattr(wanted.WhereClause, "Elements", None) or ()
    operands = [(n, each) for n, el in enumerate(elements) for each in el.FilterOperands or ()]
    return (
        0 < len(wanted.SelectClauses or ()) <= _MAX_FIELDS
        and all(len(each.BrowsePath or ()) <= _MAX_PATH for each in wanted.SelectClauses)
        and len(elements) <= _MAX_ELEMENTS
        and len(operands) <= _MAX_OPERANDS
        and all(_has_enough(each) for each in elements)
        and all(_is_fit(each, place, len(elements)) for place, each in operands)
    )


def _has_enough(element: Any) -> bool:
    least = _OPERANDS.get(element.FilterOperator)
    return least is not None and len(element.FilterOperands or ()) >= least


def _is_fit(operand: Any, place: int, elements: int) -> bool:
    """Whether an operand of the element at this place can be judged."""
    if isinstance(operand, ua.ElementOperand):
        return bool(place < operand.Index < elements)  # Part 4, 7.7.4.2: none comes back to itself
    if isinstance(operand, ua.LiteralOperand):
        return isinstance(operand.Value, ua.Variant) and isinstance(operand.Value.Value, _LITERALS)
    if isinstance(operand, ua.SimpleAttributeOperand):
        return len(operand.BrowsePath or ()) <= _MAX_PATH
    return False


class TypedFilter(WhereClauseEvaluator):  # type: ignore[misc]
    """A where-clause under which an event is of its type and of all types above."""

    _judged: dict[int, Any]
    _unlike = False  # whether something was compared with what it cannot be compared with

    def compares_what_alarms_have(self) -> bool:
        """Whether each of its elements compares an alarm's fields with values of their kind."""
        self._judged, self._unlike = {}, False
        event = _any_alarm()
        for place in range(len(self.elements or ())):
            self._eval_el(place, event)
        return not self._unlike

    def eval(self, event: AlarmEvent) -> bool:
        """Whether the event passes; each element is judged once."""
        self._judged = {}
        return bool(super().eval(event))

    def _eval_el(self, index: int, event: AlarmEvent) -> Any:
        if index not in self._judged:
            element = self.elements[index]
            if element.FilterOperator == _IS.OfType:
                wanted = self._eval_op(element.FilterOperands[0], event)
                self._judged[index] = wanted in self._types(event.kind)
            elif not self._are_alike(element, event):  # Part 4, 7.7.3: such a comparison is false
                self._judged[index], self._unlike = False, True
            else:
                self._judged[index] = super()._eval_el(index, event)
        return self._judged[index]

    def _eval_op(self, op: Any, event: AlarmEvent) -> Any:
        if isinstance(op, ua.SimpleAttributeOperand):
            return event.field(op).Value
        return super()._eval_op(op, event)

    def _are_alike(self, element: Any, event: AlarmEvent) -> bool:
        """Whether the operator can tell anything of its operands."""
        if element.FilterOperator in (_IS.Equals, _IS.InList):
            first, *others = [_kind(self._eval_op(each, event)) for each in element.FilterOperands]
            return first is _NOTHING or any(each in (first, _NOTHING) for each in others)
        if element.FilterOperator not in _ORDERS:
            return True
        values = [self._eval_op(each, event) for each in element.FilterOperands]
        try:
            sorted(values)
        except TypeError:
            return False
        return True

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


_NOTHING = type(None)


def _kind(value: Any) -> type:
    """Type of a value, all numbers and truths alike."""
    return float if isinstance(value, int | float) else type(value)


@functools.cache
def _any_alarm() -> AlarmEvent:
    """The event of an alarm that never was; all alarms have the same fields of the same types."""
    alarm = Alarm(
        id="any",
        camera="any",
        kind=AlarmKind.LEAK,
        zone=None,
        state=AlarmState.UNACK,
        active=True,
        acked=False,
        confirmed=False,
        severity=1,
        message="",
        event_id="",
        onset_ns=0,
        changed_ns=0,
    )
    node = ua.NodeId()
    return AlarmEvent(condition_fields(Condition(alarm, 0, node, node, 0, 0)), node, node)
