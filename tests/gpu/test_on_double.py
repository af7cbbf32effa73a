"""Run the tests of `on_double/` in a process of its own, whose NVIDIA driver is the double."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda_double.build import built

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("tiny_bundle_original")  # made here, where no double is in torch's way
def test_gpu_code_keeps_its_promises_on_the_cuda_double():
    double = built()
    if double is None:
        how = "pycuda is not built for the CUDA double: python tests/cuda_double/build.py"
        if os.environ.get("GASEDGE_REQUIRE_CUDA_DOUBLE"):
            pytest.fail(how)
        pytest.skip(how)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE / "on_double"), "-q", "--no-header"],
        env={**os.environ, **double.environment(), "OMP_NUM_THREADS": "1"},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
