"""OPC UA read and acknowledged by a second stack that shares no code with ours: open62541."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("asyncua")

from tests.plant.opcua_client import URI, make_keys

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("second_stack.py")
PYTHON = (
    Path(os.environ.get("GASEDGE_INTEROP", ROOT / "build" / "interop"))
    / "second-stack"
    / "bin"
    / "python"
)


@pytest.fixture(scope="module")
def python():
    if not PYTHON.exists():
        pytest.skip("needs `scripts/interop --part second-stack`, which installs o6 in a folder")
    found = subprocess.run(
        [PYTHON, "-c", "import o6"], capture_output=True, text=True, timeout=60, check=False
    )
    if found.returncode:
        pytest.skip(f"o6 cannot be imported: {found.stderr.strip()[-200:]}")
    return PYTHON


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("opcua",)) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


def look(python, plant, gateway, keys, *more, policy="Basic256Sha256", password=None):
    """What the other stack saw; its process' whole result when it failed."""
    return subprocess.run(
        [
            python,
            SCRIPT,
            f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge",
            *("--user", plant.user, "--camera", "north", "--policy", policy),
            *("--certificate", keys / "cert.der", "--key", keys / "key.pem"),
            *("--server", gateway.folder / "state" / "opcua.der", "--application-uri", URI),
            *more,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GASEDGE_PASSWORD": password or plant.password},
    )


def seen(done):
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256_Sha256_RsaPss"])
def test_a_second_stack_reads_values_and_acknowledges_a_leak(python, plant, gateway, keys, policy):
    acknowledge = ("--acknowledge",) if policy == "Basic256Sha256" else ()
    with plant.speak(gateway, plant.snapshot):
        got = seen(look(python, plant, gateway, keys, *acknowledge, policy=policy))
    sent = plant.snapshot().values
    for name in ("Leak.State", "Leak.Score", "Frame.Seq", "Leak.BBox"):
        value, status = got["values"][name]
        expected = sent[name.replace(".", "/")]
        assert value == (list(expected) if isinstance(expected, tuple) else expected), name
        assert "Good" in status or "GOOD" in status
    assert got["values"]["Health.DataGood"][0] is True
    assert got["leak"]["Severity"] == 800
    assert got["leak"]["Retain"] is True
    if acknowledge:
        assert "good" in got["acknowledged"].lower()
        assert got["after"]["AckedState/Id"] is True
        assert got["after"]["EventId"] != got["leak"]["EventId"]


def test_a_second_stack_with_a_wrong_password_is_turned_away(python, plant, gateway, keys):
    done = look(python, plant, gateway, keys, password="a wrong password")
    assert done.returncode != 0
    assert gateway.said(f"user '{plant.user}' was turned away"), sys.stderr
