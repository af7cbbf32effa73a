"""What SECURITY.md claims can be looked up: every named test, target and parser is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.fuzz.target import names
from tests.project.source_tree import ROOMS, ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`", PAGE)))
ROWS = re.findall(r"^\| ((?:CR|EDR) \d\.\d+) [^|]*\| ([^|]+) \| (.*) \|$", PAGE, re.MULTILINE)
# of the standard's component and embedded-device requirements, without those named below the table
REQUIREMENTS = {
    *(f"CR 1.{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14)),
    *(f"CR 2.{n}" for n in (1, 5, 6, 7, 8, 9, 10, 11, 12)),
    *(f"CR 3.{n}" for n in (1, 3, 4, 5, 6, 7, 8, 9)),
    *(f"CR 4.{n}" for n in (1, 2, 3)),
    "CR 5.1",
    *(f"CR 6.{n}" for n in (1, 2)),
    *(f"CR 7.{n}" for n in (1, 2, 3, 4, 6, 7, 8)),
    *(f"EDR {n}" for n in ("2.4", "2.13", "3.2", "3.10", "3.11", "3.12", "3.13", "3.14")),
}


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_test_that_is_named_as_proof_is_there(file, name):
    path = ROOT / file
    assert path.is_file(), file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    assert name in {each.name for each in ast.walk(tree) if isinstance(each, kinds)}


def test_every_requirement_has_its_row_and_what_is_met_its_proof():
    assert {number for number, _, _ in ROWS} == REQUIREMENTS
    assert len(ROWS) == len(REQUIREMENTS)
    for number, state, how in ROWS:
        assert state.split()[0] in ("met", "partly", "not"), number
        # what no test can show is said to be the choice of algorithms
        if state == "met" and number != "CR 1.14":
            assert "`tests/" in how, number


def test_every_fuzz_target_stands_beside_the_entry_that_it_is_for():
    rows = re.findall(r"^\|[^|]*\|[^|]*\|([^|]*)\| (.*) \|$", PAGE, re.MULTILINE)
    told = {name for _, last in rows for name in re.findall(r"^`(\w+)`$", last)}
    assert told == set(names())
    for parser, _ in rows:
        for path in re.findall(r"`((?:contract|edge_runtime)/[\w/.]+)`", parser):
            assert (ROOT / path).exists(), path


def test_nothing_is_claimed_that_nobody_has_assessed():
    words = PAGE.lower()
    assert "**no** safety integrity level" in words
    assert "no regulatory approval" in words
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        assert not re.search(r"\bSIL ?[1-4]\b|certified to|IEC 60079-29-4 compliant", text), (
            document
        )


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle\nX = pickle.loads(b'')\n", "S301"),
        ("import subprocess\nsubprocess.run('ls', shell=True, check=False)\n", "S602"),
        ("X = eval(input())\n", "S307"),
        ("import ssl\nX = ssl._create_unverified_context()\n", "S323"),
    ],
)
@pytest.mark.parametrize("room", ROOMS)
def test_static_checks_find_what_bandit_finds_in_every_room(room, code, rule):
    words = ["check", "--stdin-filename", f"{room}/probe.py", "--output-format", "concise", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words], cwd=ROOT, input=code, capture_output=True, text=True
    )
    assert f" {rule} " in done.stdout, done.stdout
