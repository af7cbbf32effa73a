"""The OPC UA nodes of every tag, of the mask and of the latest result, and what is read from them.

A value is made into OPC UA's form when somebody reads it or is subscribed to it, not for every
frame: a device has a hundred nodes a camera, and most are looked at once a minute.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asyncua import ua

from contract.tags import HealthCode, Quality
from edge_runtime.plant.opcua_nodes import add, link, object_node, read_by, variable_node
from edge_runtime.plant.opcua_rows import ROWS
from edge_runtime.plant.opcua_time import time_from_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contract.tags import Value
    from edge_runtime.plant.freshness import Published
    from edge_runtime.plant.opcua_rows import Row

__all__ = ["Tree", "value_status"]

_BY_QUALITY = {
    Quality.GOOD: ua.StatusCodes.Good,
    Quality.UNCERTAIN: ua.StatusCodes.UncertainSensorNotAccurate,
    Quality.STALE: ua.StatusCodes.UncertainLastUsableValue,
    Quality.BAD: ua.StatusCodes.BadSensorFailure,
}
_FACTS = (
    "Camera",
    "Model",
    "Sw",
    "Verify",
)  # known while the frames process speaks, however blind it is
_OWN = "own"  # what the gateway itself says
_BLIND = HealthCode.NO_CAMERA | HealthCode.PLANT_LINK


def value_status(group: str, shown: Published) -> int:
    """OPC UA status of the tags of a group.

    What is said about health is good even then, or most of all then, when nothing else is; facts
    about camera and model are good while the frames process speaks.
    """
    snapshot = shown.snapshot
    if group == "Health":
        return int(ua.StatusCodes.Good)
    if not shown.heard:
        return int(ua.StatusCodes.BadNoCommunication)
    if group in _FACTS:
        return int(ua.StatusCodes.Good)
    code = snapshot.values["Health/Code"] or 0
    if snapshot.quality is Quality.BAD and int(code) & _BLIND:  # type: ignore[arg-type]
        return int(ua.StatusCodes.BadNoCommunication)
    return int(_BY_QUALITY[snapshot.quality])


class _Node:
    """What one node shows now."""

    __slots__ = ("attribute", "made_ns", "row", "status", "value", "when_made")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.attribute: Any = None  # of the address space: who must be told
        self.value: Value = None
        self.status = int(ua.StatusCodes.BadWaitingForInitialData)
        self.when_made = False  # the source time is that of the last change, not of the frame
        self.made_ns = 0  # UTC

    def data(self, now_ns: int, source_ns: int) -> Any:
        """Value, status and times as a reader gets them."""
        value = self.value
        made = ua.DataValue(
            ua.Variant(None, ua.VariantType.Null) if value is None else _variant(self.row, value),
            StatusCode=ua.StatusCode(self.status),
            SourceTimestamp=time_from_ns(self.made_ns if self.when_made else source_ns),
            ServerTimestamp=time_from_ns(now_ns),
        )
        if value is None:
            # a good null goes out as no variant at all, which the class will not be made with
            object.__setattr__(made, "Value", None)
        return made


class Tree:
    """The nodes of all cameras.

    Args:
        server: asyncua's server, initialised.
        index: of gasedge's namespace.
        clock_ns: UTC.
    """

    def __init__(self, server: Any, index: int, clock_ns: Callable[[], int]) -> None:
        self._server = server
        self._index = index
        self._clock_ns = clock_ns
        self._nodes: dict[str, list[_Node]] = {}
        self._source_ns: dict[str, int] = {}

    def make(self, cameras: Sequence[str], name: str) -> None:
        """Add the device with a folder `Cameras` and a folder for each camera."""
        core = self._server.iserver
        objects, device = ua.NodeId(ua.ObjectIds.ObjectsFolder), self._id("/")
        parent = self._id("/Cameras")
        items = [
            object_node(device, self._named(name), objects, notifies=True),
            object_node(parent, self._named("Cameras"), device),
        ]
        for camera in cameras:
            items += self._of_camera(camera, parent)
        add(core, items)
        notifiers = [device, *(self._id(f"/Cameras/{camera}") for camera in cameras)]
        link(core, ua.NodeId(ua.ObjectIds.Server), ua.ObjectIds.HasNotifier, notifiers)
        for camera in cameras:
            self._source_ns[camera] = 0
            nodes = self._nodes[camera] = []
            for row in ROWS:
                node = _Node(row)
                read = partial(self._read, camera, node)
                node.attribute = read_by(core, self._value(camera, row), read)
                nodes.append(node)

    def _of_camera(self, camera: str, parent: Any) -> list[Any]:
        """What is to be added for a camera."""
        place = f"/Cameras/{camera}"
        items = [object_node(self._id(place), self._named(camera), parent, notifies=True)]
        made = {place}
        for row in ROWS:
            above, names = place, row.path.split("/")
            for name in names[:-1]:
                path = f"{above}/{name}"
                if path not in made:
                    made.add(path)
                    items.append(object_node(self._id(path), self._named(name), self._id(above)))
                above = path
            items.append(
                variable_node(
                    self._value(camera, row),
                    self._named(names[-1]),
                    self._id(above),
                    row.kind,
                    text=row.text,
                    array=row.array,
                )
            )
        return items

    def _read(self, camera: str, node: _Node) -> Any:
        return node.data(self._clock_ns(), self._source_ns[camera])

    def _value(self, camera: str, row: Row) -> Any:
        return self._id(f"{camera}.{row.path.replace('/', '.')}")

    def _id(self, text: str) -> Any:
        return ua.NodeId(text, self._index)

    def _named(self, name: str) -> Any:
        return ua.QualifiedName(name, self._index)

    async def publish(self, shown: Published, *, linked: bool) -> None:
        """Show this from now on, and tell who is subscribed.

        Args:
            shown: of one camera.
            linked: the gateway speaks: what it says of itself is known.
        """
        snapshot = shown.snapshot
        camera = snapshot.camera
        now_ns = self._clock_ns()
        source_ns = self._source_ns[camera] = snapshot.source_time_ns
        own = int(ua.StatusCodes.Good if linked else ua.StatusCodes.BadNoCommunication)
        statuses = {_OWN: own}
        for node in self._nodes[camera]:
            group = _OWN if node.row.own else node.row.path.partition("/")[0]
            if group not in statuses:
                statuses[group] = value_status(group, shown)
            status = statuses[group]
            bad = status & 0x8000_0000
            value = None if bad else node.row.value(snapshot)
            # a statement about health, and that there is no value, were made when first made
            when_made = bool(bad) or value is None or group in ("Health", _OWN)
            changed = (value, status, when_made) != (node.value, node.status, node.when_made)
            if changed:
                node.value, node.status, node.when_made = value, status, when_made
                node.made_ns = now_ns
            if node.attribute.datachange_callbacks and (changed or not when_made):
                await self._tell(node, changed=changed, now_ns=now_ns, source_ns=source_ns)

    async def _tell(self, node: _Node, *, changed: bool, now_ns: int, source_ns: int) -> None:
        """Tell who is subscribed to a node: all of a new value, some of a new time, too."""
        told = [
            (handle, tell)
            for handle, tell in node.attribute.datachange_callbacks.items()
            if changed or tell.__self__.wants_time(handle)  # a method of `BoundedItems`
        ]
        if told:
            data = node.data(now_ns, source_ns)
            for handle, tell in told:
                await tell(handle, data)


def _variant(row: Row, value: Any) -> Any:
    if row.kind is ua.VariantType.DateTime:
        value = time_from_ns(value)
    return ua.Variant(list(value) if row.array else value, row.kind)
