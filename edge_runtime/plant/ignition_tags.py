"""The tag table as a data type that Ignition's tag browser imports: one instance a camera.

Ignition addresses a node by its namespace's URI, since the index of a namespace is the server's
affair, and takes a property with a parameter in it as an object with a binding, not as text.
"""

from __future__ import annotations

from typing import Any

from contract.tags import TAGS, Tag, TagType

__all__ = ["ignition_type"]

_NAMESPACE = "urn:gasedge:model:1"
# Ignition's integers are signed: each holds the whole range of ours
_TYPES = {
    TagType.BOOL: "Boolean",
    TagType.U8: "Int2",
    TagType.U16: "Int4",
    TagType.U32: "Int8",
    TagType.U64: "Int8",
    TagType.F32: "Float4",
    TagType.TIME: "DateTime",
    TagType.TEXT: "String",
    TagType.BYTES: "ByteArray",
    TagType.BOX: "Int4Array",
}


def ignition_type() -> dict[str, Any]:
    """A user-defined type `GasEdgeCamera` with the parameters `camera` and `server`."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for tag in TAGS:
        group, name = tag.name.split("/")
        groups.setdefault(group, []).append(_member(tag, name))
    return {
        "name": "GasEdgeCamera",
        "tagType": "UdtType",
        "parameters": {
            "camera": {"dataType": "String", "value": ""},
            "server": {"dataType": "String", "value": "gasedge"},
        },
        "tags": [
            {"name": group, "tagType": "Folder", "tags": members}
            for group, members in groups.items()
        ],
    }


def _member(tag: Tag, name: str) -> dict[str, Any]:
    member: dict[str, Any] = {
        "name": name,
        "tagType": "AtomicTag",
        "valueSource": "opc",
        "dataType": _TYPES[tag.type],
        "opcServer": _bound("{server}"),
        "opcItemPath": _bound(f"nsu={_NAMESPACE};s={{camera}}.{tag.name.replace('/', '.')}"),
        "documentation": tag.description,
        "readOnly": True,
    }
    if tag.unit:
        member["engUnit"] = tag.unit
    return member


def _bound(text: str) -> dict[str, str]:
    return {"bindType": "parameter", "binding": text}
