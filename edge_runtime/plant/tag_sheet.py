"""The tag sheet for people and programs, from the one tag table."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from contract.tags import (
    BLOCK_WORDS,
    DISCRETE_INPUTS,
    MAP_VERSION,
    MAP_VERSION_REGISTER,
    TAGS,
    HealthCode,
    TagType,
)
from edge_runtime.plant.ignition_tags import ignition_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contract.tags import Tag

__all__ = ["sheet"]

_COLUMNS = (
    "tag",
    "opc_ua",
    "type",
    "unit",
    "input_register",
    "words",
    "scaled_register",
    "scale",
    "discrete_input",
    "unknown_opc_ua",
    "unknown_register",
    "description",
)

_HEAD = ("Tag", "Type", "Unit", "IR", "Scaled IR", "DI", "Unknown IR / DI", "Meaning")
_INTRODUCTION = f"""# Tag sheet

Made by `gasedge tags`; the table in `contract/tags.py` is the source.

**Use Leak/State only while Health/DataGood is 1 and the heartbeat counts.** 255 means that nobody
is looking, which is not the same as no leak.

**OPC UA**: namespace `urn:gasedge:model:1`, node id `ns=X;s=<camera>.<Group>.<Name>`, so
`Leak/State` of camera `north` is `north.Leak.State`; it stands under
`Objects/GasEdge_<serial>/Cameras/<camera>/<Group>/<Name>`. Source time is the capture time of the
frame. Everything is read-only. Quality is the status code:

| Health/Quality | OPC UA status of Leak, Zone, Frame, Drift and Mask |
|---|---|
| 0 good | Good |
| 1 uncertain | UncertainSensorNotAccurate |
| 2 stale | UncertainLastUsableValue, the last value is held |
| 3 bad | BadNoCommunication or BadSensorFailure, the value is null |

Health and Device tags are the device's own word and always Good. Camera, Model, Verify and Sw tags
are Good while the frames process speaks and BadNoCommunication when it is silent.

**Modbus TCP**: the unit id is the camera's number, from 1. Input registers 0 to {BLOCK_WORDS - 1}
(function 4, also 3) and discrete inputs 0 to {DISCRETE_INPUTS - 1} (function 2, also 1), addresses
counted from 0. One request for all of them is answered from one snapshot. The high word comes first
(ABCD). Times are ms since 1970-01-01 UTC. A scaled register holds the value times its scale, and
65535 when it is larger or unknown. Places that are not listed are 0. Register
{MAP_VERSION_REGISTER} is the version of this map: {MAP_VERSION}. Writes get exception 1, other
addresses 2, other units 11.

"""


def sheet(form: str) -> str:
    """The sheet as "markdown", "csv", "json" or "ignition"."""
    if form == "ignition":
        return json.dumps(ignition_type(), indent=2) + "\n"
    rows = [_row(tag) for tag in TAGS]
    if form == "json":
        return json.dumps({"map_version": MAP_VERSION, "tags": rows}, indent=2) + "\n"
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
    return _markdown(rows)


def _row(tag: Tag) -> dict[str, str | int | None]:
    return {
        "tag": tag.name,
        "opc_ua": f"<camera>.{tag.name.replace('/', '.')}",
        "type": tag.type.opc_ua,
        "unit": tag.unit,
        "input_register": tag.register,
        "words": tag.words if tag.register is not None else None,
        "scaled_register": tag.scaled_register,
        "scale": tag.scale if tag.scaled_register is not None else None,
        "discrete_input": tag.discrete,
        "unknown_opc_ua": _unknown_opc_ua(tag),
        "unknown_register": _unknown_register(tag),
        "description": tag.description,
    }


def _unknown_opc_ua(tag: Tag) -> str:
    return "always known" if tag.name.startswith("Health/") else "null, status Bad"


def _unknown_register(tag: Tag) -> str:
    if tag.discrete is not None and tag.register is None:
        return "1" if tag.unknown else "0"
    if tag.unknown is not None:
        return str(int(tag.unknown)) if isinstance(tag.unknown, (bool, int)) else ""
    if tag.register is None:
        return "65535" if tag.scaled_register is not None else ""
    if tag.type is not TagType.F32:
        return "all bits set"
    return "NaN" if tag.scaled_register is None else "NaN; scaled 65535"


def _markdown(rows: list[dict[str, str | int | None]]) -> str:
    lines = [_row_text(_HEAD), "|" + "---|" * len(_HEAD)]
    for row in rows:
        on_modbus = {row["input_register"], row["scaled_register"], row["discrete_input"]} != {None}
        cells = (
            f"`{row['tag']}`",
            row["type"],
            row["unit"],
            _span(row["input_register"], row["words"]),
            _scaled(row),
            row["discrete_input"],
            row["unknown_register"] if on_modbus else "",
            row["description"],
        )
        lines.append(_row_text(cells))
    lines += ["", "## Bits of Health/Code", "", "| Bit | Name | Meaning |", "|---|---|---|"]
    lines += [
        f"| {code.value.bit_length() - 1} | {code.name} | {code.meaning} |" for code in HealthCode
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _row_text(cells: Sequence[str | int | None]) -> str:
    return "| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |"


def _span(first: str | int | None, words: str | int | None) -> str:
    if first is None or words is None:
        return ""
    last = int(first) + int(words) - 1
    return str(first) if last == first else f"{first}-{last}"


def _scaled(row: dict[str, str | int | None]) -> str:
    if row["scaled_register"] is None:
        return ""
    return f"{row['scaled_register']} (x{row['scale']})"
