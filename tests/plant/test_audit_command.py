"""`gasedge audit`: what people did, checked and taken along."""

from __future__ import annotations

import csv
import json
import sqlite3

import pytest

from contract.audit import Category, Entry
from edge_runtime.alarms.journal import Journal
from edge_runtime.alarms.machine import Now
from edge_runtime.database import FILE, Database
from gasedge.cli import main

NOW = Now(1.0, 1_800_000_000_123_000_000, clock_ok=True, boot_id="b")


@pytest.fixture
def state_dir(tmp_path):
    with Database(tmp_path / FILE) as database:
        journal = Journal(database)
        for number in range(30):
            entry = Entry(
                Category.ACTION,
                "acknowledge yard.leak",
                who="operator1",
                role="operator",
                origin="page 127.0.0.1",
                old="UNACK",
                new="ACKED",
                comment=f"=sum({number})",
            )
            journal.append(entry, NOW)
    return tmp_path


def test_show_prints_the_newest_in_one_line_each(state_dir, capsys):
    assert main(["audit", "show", str(state_dir), "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "30 2027-01-15 08:00:00.123Z" in lines[1]
    assert "by operator1 (operator, page 127.0.0.1)" in lines[1]
    assert main(["audit", "show", str(state_dir), "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["n"] for each in shown] == list(range(11, 31))


def test_an_unbroken_journal_and_its_export_verify_alike(state_dir, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["audit", "export", str(state_dir), str(out)]) == 0
    capsys.readouterr()
    said = []
    for place in (state_dir, out):
        assert main(["audit", "verify", str(place), "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert said[0]["records"] == 30
    assert said[0]["fault"] == ""


def test_it_can_be_read_while_gasedge_runs(state_dir, capsys):
    with Database(state_dir / FILE) as database:
        Journal(database).append(Entry(Category.SYSTEM, "now"), NOW)
        assert main(["audit", "verify", str(state_dir)]) == 0
        assert "31 records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE audit SET record = replace(record, 'operator1', 'stranger1') WHERE n = 7",
            "record 7 was",
        ),
        ("DELETE FROM audit WHERE n = 7", "record 8 follows record 6"),
        ("DELETE FROM audit WHERE n = 1", "record 2 follows record 0"),
        ("UPDATE audit SET record = 'x' WHERE n = 7", "after record 6: no record"),
        (
            "UPDATE audit SET record = (SELECT record FROM audit WHERE n = 8) WHERE n = 7",
            "record 8 follows record 6",
        ),
    ],
)
def test_whatever_is_done_to_a_record_gives_exit_code_three(state_dir, capsys, statement, said):
    connection = sqlite3.connect(state_dir / FILE)
    connection.executescript("DROP TRIGGER audit_stays; DROP TRIGGER audit_grows")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert main(["audit", "verify", str(state_dir)]) == 3
    assert said in capsys.readouterr().out


def test_the_export_for_spreadsheets_holds_no_formula(state_dir, tmp_path):
    out = tmp_path / "out.csv"
    assert main(["audit", "export", str(state_dir), str(out), "--format", "csv"]) == 0
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 30
    assert rows[0]["comment"] == "'=sum(0)"
    assert rows[0]["who"] == "operator1"


def test_what_is_no_journal_is_told_in_one_line(tmp_path, capsys):
    text = tmp_path / "text"
    text.write_text("hello\n")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\x00")
    for place in (tmp_path, tmp_path / "nowhere", text, binary):
        for command in ("show", "verify"):
            assert main(["audit", command, str(place)]) == 1
            told = capsys.readouterr().err
            assert told.startswith("gasedge: ")
            assert told.count("\n") == 1
            assert "give the state_dir of [plant]" in told


def test_an_export_that_cannot_be_written_is_told(state_dir, tmp_path, capsys):
    assert main(["audit", "export", str(state_dir), str(tmp_path / FILE / "x")]) == 1
    assert "cannot be written" in capsys.readouterr().err
