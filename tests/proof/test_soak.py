"""A soak of seconds: every client is answered, every process weighed, nothing lost."""

from __future__ import annotations

import json

import pytest

for package in ("openvino", "pymodbus", "paho.mqtt.client", "asyncua", "aiohttp", "torch", "onnx"):
    pytest.importorskip(package)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_client_is_answered_and_every_process_weighed(network, run, tmp_path):
    out = tmp_path / "soak.json"
    times = ("--hours", 0.006, "--warm-up", 0.05, "--every", 1)
    done = run("soak", *times, "--network", network, "--json", out, within_s=400)
    assert done.returncode in (0, 3), done.stderr
    report = json.loads(out.read_text())
    # so short a while is all warm-up: only what grows may be amiss
    assert [each for each in report["faults"] if " grows: " not in each] == []
    for name, (answers, _) in report["clients"].items():
        assert answers > 0, name
    for role in ("supervisor", "frames", "plant", "opcua", "recorder", "decoders", "decoders 2"):
        for figure in ("memory MB", "descriptors", "threads"):
            assert f"{role}: {figure}" in report["slopes"], report["slopes"].keys()
    assert report["slopes"]["frame to tag: p50 ms"]["first"] > 0


def test_a_soak_that_is_all_warm_up_is_refused(run):
    done = run("soak", "--hours", 0.01, "--warm-up", 5)
    assert done.returncode == 2
    assert "over before the warm-up" in done.stderr
