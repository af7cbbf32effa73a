"""scripts/gpu_check on a machine that has no GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract.machine import this_machine

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_check"


@pytest.mark.skipif(this_machine().gpu is not None, reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_in_one_line_and_exits_1():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no GPU to check: no NVIDIA driver" in done.stderr
