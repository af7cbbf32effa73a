"""Shared by all tests: where the real images are, and no test may leave threads behind."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GASEDGE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """The folder of real images, or a skip that says what is missing."""
    if not DATA.is_dir():
        pytest.skip(f"no real images at {DATA}; set GASEDGE_DATA to their folder")
    return DATA


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    """Fail a test that leaves a non-daemon or a gasedge thread running."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [
            t
            for t in threading.enumerate()
            if t not in before and t.is_alive() and (not t.daemon or t.name.startswith("gasedge"))
        ]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"threads left behind: {[t.name for t in left]}")
