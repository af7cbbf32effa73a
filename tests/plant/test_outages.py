"""The drill of outages, small: `scripts/outages` runs it at full size."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "outages"

pytest.importorskip("paho.mqtt.client")


@pytest.mark.slow
def test_no_event_is_lost_and_order_is_kept_through_outages_and_kill_9():
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    sizes = ["--events", "150", "--outages", "2", "--kills", "4", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *sizes, "--json"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert (figures["promised"], figures["lost"], figures["out of order"]) == (150, 0, 0)
    assert figures["kill -9"] == 4


def test_a_missing_broker_is_told_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "mosquitto is not here; install it with: apt-get install mosquitto"
    ]
