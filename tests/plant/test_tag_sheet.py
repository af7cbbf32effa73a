"""The sheet in the documents is the one that the command prints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.tags import TAGS
from gasedge.commands.tags import command

DOCS = Path(__file__).resolve().parents[2] / "docs"


def printed(form):
    result = CliRunner().invoke(command, ["--format", form], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_document_is_what_the_command_prints():
    assert (DOCS / "tags.md").read_text() == printed("markdown"), "run: gasedge tags > docs/tags.md"


def test_csv_and_json_hold_every_tag():
    rows = list(csv.DictReader(io.StringIO(printed("csv"))))
    objects = json.loads(printed("json"))["tags"]
    assert [row["tag"] for row in rows] == [tag.name for tag in TAGS]
    assert [row["tag"] for row in objects] == [tag.name for tag in TAGS]
    score = next(row for row in objects if row["tag"] == "Leak/Score")
    assert score["opc_ua"] == "<camera>.Leak.Score"
    assert (score["input_register"], score["words"]) == (10, 2)
    assert (score["scaled_register"], score["scale"]) == (30, 10000)


def test_ignition_type_has_a_bound_member_for_every_tag():
    made = json.loads(printed("ignition"))
    assert (made["name"], made["tagType"]) == ("GasEdgeCamera", "UdtType")
    assert set(made["parameters"]) == {"camera", "server"}
    found = {
        f"{folder['name']}/{member['name']}": member
        for folder in made["tags"]
        for member in folder["tags"]
    }
    assert list(found) == [tag.name for tag in TAGS]
    for name, member in found.items():
        node = f"nsu=urn:gasedge:model:1;s={{camera}}.{name.replace('/', '.')}"
        # a plain text with a parameter in it is taken as it stands
        assert member["opcItemPath"] == {"bindType": "parameter", "binding": node}
        assert member["opcServer"] == {"bindType": "parameter", "binding": "{server}"}
    assert found["Leak/State"]["dataType"] == "Int2"  # Ignition's Int1 ends at 127
    assert found["Health/Code"]["dataType"] == "Int8"
    assert found["Leak/AreaFraction"]["engUnit"] == "0..1"


def test_paths_of_the_sheet_are_those_of_the_server():
    opcua = pytest.importorskip("edge_runtime.plant.opcua")
    state = json.loads(printed("ignition"))["tags"][0]["tags"][0]
    assert state["opcItemPath"]["binding"].startswith(f"nsu={opcua.NAMESPACE};")
