"""The sheet in the documents is the one that the command prints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

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
