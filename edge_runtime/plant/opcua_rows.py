"""What every camera's OPC UA nodes show: the tag table, the mask's size, and the latest result.

The result's nodes have the names and meanings of OPC 40100-1 (Machine Vision) 9.1, `ResultType`;
types, methods and state machine of that companion specification are not implemented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncua import ua

from contract.mask_encoding import size_of_mask
from contract.tags import TAGS, HealthCode, TagType

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.tags import CameraSnapshot, Tag, Value

__all__ = ["ROWS", "Row"]

_TYPES = {
    TagType.BOOL: ua.VariantType.Boolean,
    TagType.U8: ua.VariantType.Byte,
    TagType.U16: ua.VariantType.UInt16,
    TagType.U32: ua.VariantType.UInt32,
    TagType.U64: ua.VariantType.UInt64,
    TagType.F32: ua.VariantType.Float,
    TagType.TIME: ua.VariantType.DateTime,
    TagType.TEXT: ua.VariantType.String,
    TagType.BYTES: ua.VariantType.ByteString,
    TagType.BOX: ua.VariantType.UInt16,
}
_RESULT = "ResultManagement/Results/Latest"
_COMPLETED = 1  # OPC 40100-1 12.18, ResultStateDataType


class Row(NamedTuple):
    """What one node shows of a camera."""

    path: str  # "Leak/Score": folders below the camera's, and the node's name
    kind: ua.VariantType
    text: str
    value: Callable[[CameraSnapshot], Value]
    array: bool = False
    own: bool = False  # the gateway's word, not the frames process'


def _of_tag(tag: Tag) -> Row:
    text = f"{tag.description} [{tag.unit}]" if tag.unit else tag.description
    kind, array = _TYPES[tag.type], tag.type is TagType.BOX
    return Row(tag.name, kind, text, lambda snapshot: snapshot.value(tag.name), array, tag.own)


def _mask(snapshot: CameraSnapshot) -> bytes | None:
    mask = snapshot.value("Mask/Data")
    return mask if isinstance(mask, bytes) else None


def _encoding(snapshot: CameraSnapshot) -> str | None:
    mask = _mask(snapshot)
    return None if mask is None or size_of_mask(mask) is None else "GEM1"


def _side(place: int) -> Callable[[CameraSnapshot], int | None]:
    def side(snapshot: CameraSnapshot) -> int | None:
        mask = _mask(snapshot)
        size = None if mask is None else size_of_mask(mask)
        return None if size is None else size[place]

    return side


def _result_id(snapshot: CameraSnapshot) -> str | None:
    taken_ns = snapshot.source_time_ns
    return f"{snapshot.camera}.{taken_ns}" if taken_ns else None


def _is_simulated(snapshot: CameraSnapshot) -> bool:
    code = snapshot.values.get("Health/Code") or 0
    return bool(int(code) & (HealthCode.TEST_SOURCE | HealthCode.DRILL))  # type: ignore[arg-type]


def _result(name: str, kind: ua.VariantType, text: str, value: Callable[..., Value]) -> Row:
    return Row(f"{_RESULT}/{name}", kind, text, value)


ROWS: tuple[Row, ...] = (
    *(_of_tag(tag) for tag in TAGS),
    Row("Mask/Encoding", ua.VariantType.String, "How Mask/Data is encoded", _encoding),
    Row("Mask/Width", ua.VariantType.UInt16, "Width of the mask [px]", _side(0)),
    Row("Mask/Height", ua.VariantType.UInt16, "Height of the mask [px]", _side(1)),
    _result("ResultId", ua.VariantType.String, "Camera and capture time of the frame", _result_id),
    _result(
        "HasTransferableDataOnFile",
        ua.VariantType.Boolean,
        "False: the whole result stands in these nodes",
        lambda _: False,
    ),
    _result("IsPartial", ua.VariantType.Boolean, "False: never in parts", lambda _: False),
    _result("IsSimulated", ua.VariantType.Boolean, "A drill or a recorded picture", _is_simulated),
    _result("ResultState", ua.VariantType.Int32, "1 completed", lambda _: _COMPLETED),
    _result(
        "InternalRecipeId",
        ua.VariantType.String,
        "SHA-256 of the network that made it",
        lambda snapshot: snapshot.value("Model/Sha256"),
    ),
    _result(
        "CreationTime",
        ua.VariantType.DateTime,
        "When the frame was taken",
        lambda snapshot: snapshot.source_time_ns or None,
    ),
    _result(
        "ResultContent",
        ua.VariantType.ByteString,
        "The mask, as Mask/Data",
        lambda snapshot: snapshot.value("Mask/Data"),
    ),
)
