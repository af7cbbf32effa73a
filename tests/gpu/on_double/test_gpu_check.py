"""scripts/gpu_check as a person runs it, with the double for a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cuda_double.build import KERNELS, cpu_kernels

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "gpu_check"


def checked(bundle, **environment):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--bundle", str(bundle.path), "--rounds", "2", "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_check_passes_and_the_gpu_is_named(bundle):
    code, report = checked(bundle)
    assert code == 0
    assert "CUDA double (no GPU) (compute 8.7)" in report["machine"]
    names = [check["name"] for check in report["checks"] if check["passed"]]
    for name in ("fit kernel", "grey and NV12", "summary kernel", "cells kernel", "transfer",
                 "fp32 against the CPU", "fp16 CUDA graph", "fp32 transfers", "fp16 batch",
                 "fp32 known answers", "device memory"):  # fmt: skip
        assert name in names
    assert set(report["transfer"]["median_ms"]) == {"copied", "mapped"}
    for precision in ("fp32", "fp16"):
        assert set(report["latency_ms"][precision]) == {
            "bare engine, graph",
            "bare engine, call by call",
            "picture to mask, graph",
            "picture to mask, call by call",
            "four pictures, one run",
            "four pictures, four runs",
        }
        assert len(report["ratios"][precision]) == 3


def test_a_gpu_that_computes_wrongly_is_found_with_exit_code_3(bundle, tmp_path):
    wrong = []
    for source in KERNELS.glob("*.cu"):
        wrong.append(tmp_path / source.name)
        wrong[-1].write_text(source.read_text().replace("share + 0.5f", "share + 3.5f"))
    code, report = checked(bundle, CUDA_DOUBLE_KERNELS=str(cpu_kernels(sorted(wrong))))
    assert code == 3
    assert [c["name"] for c in report["checks"] if not c["passed"]] == ["fit kernel"]
