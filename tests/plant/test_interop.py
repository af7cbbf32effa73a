"""`scripts/interop` runs a part of itself and says honestly how it went."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def interop(*words):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "interop_parts.py", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )


def test_a_named_part_runs_and_is_told_in_the_table():
    done = interop("--part", "modbus")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = lines[1].split()[1:3]
    assert lines[1].startswith("modbus ")
    assert int(passed) > 20
    assert failed == "0"


def test_every_part_has_tests_and_a_name_that_is_unknown_is_refused():
    listed = interop("--list")
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert {"opcua", "modbus", "table", "mqtt", "wire", "node-red"} <= set(names)
    source = (ROOT / "scripts" / "interop_parts.py").read_text()
    files = {
        word.strip('"(),') for word in source.split() if word.startswith(('"test_', '("test_'))
    }
    assert [file for file in files if not (ROOT / "tests" / "plant" / file).is_file()] == []
    unknown = interop("--part", "profibus")
    assert unknown.returncode == 2
    assert "invalid choice" in unknown.stderr
