"""Adding nodes to asyncua's address space, many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["add", "child", "link", "object_node", "read_by", "variable_node"]

_IDS = ua.ObjectIds


def child(node: Any, path: str) -> Any:
    """Node id below another one's."""
    return ua.NodeId(f"{node.Identifier}/{path}", node.NamespaceIndex)


def object_node(
    place: Any,
    name: Any,
    parent: Any,
    *,
    reference: int = _IDS.Organizes,
    kind: Any = None,
    notifies: bool = False,
) -> Any:
    """An object that is to be added; a folder unless a type is given."""
    item = _node(place, name, parent, reference, kind or ua.NodeId(_IDS.FolderType))
    item.NodeClass = ua.NodeClass.Object
    item.NodeAttributes = ua.ObjectAttributes()
    item.NodeAttributes.EventNotifier = int(notifies)
    item.NodeAttributes.DisplayName = ua.LocalizedText(name.Name, "en")
    return item


def variable_node(
    place: Any,
    name: Any,
    parent: Any,
    data_type: ua.VariantType,
    *,
    reference: int = _IDS.HasComponent,
    kind: Any = None,
    text: str = "",
    array: bool = False,
) -> Any:
    """A variable that is to be added; without a type it is a plain data variable."""
    item = _node(place, name, parent, reference, kind or ua.NodeId(_IDS.BaseDataVariableType))
    item.NodeClass = ua.NodeClass.Variable
    given = item.NodeAttributes = ua.VariableAttributes()
    given.DisplayName = ua.LocalizedText(name.Name, "en")
    given.Description = ua.LocalizedText(text or name.Name, "en")
    given.DataType = ua.NodeId(data_type.value)
    given.ValueRank = ua.ValueRank.OneDimension if array else ua.ValueRank.Scalar
    given.AccessLevel = given.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    given.Value = ua.Variant(None, ua.VariantType.Null)
    return item


def add(core: Any, items: Sequence[Any]) -> None:
    """Add nodes, parents first.

    Raises:
        UaStatusCodeError: when one could not be added.
    """
    for result in core.node_mgt_service.add_nodes(items, core.isession.user):
        result.StatusCode.check()


def link(core: Any, source: Any, reference: int, targets: Sequence[Any]) -> None:
    """Add references from one node to others.

    Raises:
        UaStatusCodeError: when one could not be added.
    """
    items = []
    for target in targets:
        item = ua.AddReferencesItem()
        item.SourceNodeId, item.ReferenceTypeId = source, ua.NodeId(reference)
        item.TargetNodeId, item.IsForward = target, True
        items.append(item)
    for result in core.node_mgt_service.add_references(items, core.isession.user):
        result.check()


def read_by(core: Any, place: Any, read: Callable[[], Any]) -> Any:
    """Have a variable's value made when somebody reads it; the answer is its attribute."""
    value = ua.AttributeIds.Value
    core.aspace.set_attribute_value_callback(place, value, lambda *_: read()).check()
    return core.aspace[place].attributes[value]


def _node(place: Any, name: Any, parent: Any, reference: int, kind: Any) -> Any:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId, item.BrowseName = place, name
    item.ParentNodeId, item.ReferenceTypeId = parent, ua.NodeId(reference)
    item.TypeDefinition = kind
    return item
