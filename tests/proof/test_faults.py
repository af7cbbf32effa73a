"""One fault of each group, done by the script to a real daemon with real peers."""

from __future__ import annotations

import json
import shutil

import pytest

for package in ("openvino", "pymodbus", "paho.mqtt.client", "asyncua", "aiohttp", "torch", "onnx"):
    pytest.importorskip(package)

ROWS = [
    ("cameras", "frozen"),
    ("brokers", "stopped"),
    ("floods", "Modbus fragments"),
    ("disk", "full"),
    ("clock", "an hour back"),
    ("memory", "frames: none to be had"),
    ("configuration", "half written, then frames is killed"),
    ("bundles", "one byte changed"),
    ("engines", "zeros"),
    ("updates", "one byte changed"),
    ("certificates", "broker's untrusted"),
    ("cuda", "context lost"),
]


def rows_of(run, folder, *words, within_s):
    out = folder / "table.json"
    done = run("faults", *words, "--json", out, within_s=within_s)
    assert out.exists(), done.stderr
    rows = json.loads(out.read_text())["rows"]
    skipped = [each["skipped"] for each in rows if each["skipped"]]
    if skipped:
        assert done.returncode == (1 if len(skipped) == len(rows) else 0), done.stdout
        pytest.skip(skipped[0])
    assert [each["faults"] for each in rows] == [[]] * len(rows), done.stdout
    assert done.returncode == 0
    return rows


@pytest.mark.slow
@pytest.mark.timeout(720)
@pytest.mark.parametrize(("group", "row"), ROWS)
def test_a_fault_is_shown_as_what_it_is_and_loses_nothing(group, row, network, run, tmp_path):
    words = ("--only", group, "--row", row, "--network", network)
    (found,) = rows_of(run, tmp_path, *words, within_s=500)
    assert found["lost"] == "0"
    assert found["recovered_s"] is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_processes_come_back_and_lose_nothing(network, run, tmp_path):
    words = ("--only", "processes", "--kills", 5, "--seed", 4, "--network", network)
    assert len(rows_of(run, tmp_path, *words, within_s=700)) == 5


def test_the_list_names_every_group_and_does_nothing(run):
    done = run("faults", "--list", "--kills", 12)
    assert done.returncode == 0
    groups = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert groups == {"processes", *(group for group, _ in ROWS)}


def test_an_unknown_group_is_told_with_those_there_are(run):
    done = run("faults", "--only", "cats")
    assert done.returncode == 2
    assert "cats" in done.stderr
    assert "cameras" in done.stderr


def test_a_row_that_is_not_there_is_told_and_no_success(run):
    done = run("faults", "--only", "disk", "--row", "fulll")
    assert done.returncode == 2
    assert "'fulll'" in done.stderr


@pytest.mark.slow
def test_a_list_of_which_no_row_could_be_tried_is_no_success(network, run, tmp_path, monkeypatch):
    """Where nobody can make a disk, for want of a program, nothing is proved."""
    programs = tmp_path / "bin"
    programs.mkdir()
    if mosquitto := shutil.which("mosquitto"):
        (programs / "mosquitto").symlink_to(mosquitto)
    monkeypatch.setenv("PATH", str(programs))
    done = run("faults", "--only", "disk", "--row", "read-only", "--network", network)
    assert done.returncode == 1, done.stderr
    assert "not tried: needs mkfs.ext4" in done.stdout
    assert "no row could be tried here" in done.stderr
