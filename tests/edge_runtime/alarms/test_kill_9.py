"""What the desk promised to have kept outlives kill -9 in random moments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

KILLS = Path(__file__).with_name("kills.py")


def test_no_alarm_audit_record_or_event_is_lost_in_fifty_kills():
    done = subprocess.run(
        [sys.executable, str(KILLS), "--kills", "50"], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["kills"] == 50
    assert found["events"] >= found["events_promised"] > 50
    assert found["audit"] >= found["audit_promised"] > found["events_promised"]
