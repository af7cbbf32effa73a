from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("concat_behind_int8.py")
ROOT = SCRIPT.parents[3]
CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
X86 = platform.machine() in ("x86_64", "AMD64")


def _errors(instructions: str) -> list[dict]:
    """Errors on a CPU without AMX, which alone takes signed activations rightly."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not X86, reason="the instruction sets of this test are x86's")
def test_int8_behind_a_concat_is_right_on_cpus_without_amx():
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    for case in _errors("AVX2_VNNI"):
        # FP16 sums are rounded by ONNX Runtime and not by OpenVINO, which computes in f32.
        assert case["rewritten"] < (0.005 if case["half"] else 1e-4), case


@pytest.mark.skipif(not X86, reason="the instruction sets of this test are x86's")
def test_what_comes_from_a_relu_does_not_saturate_on_cpus_without_vnni():
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    for case in _errors("AVX2"):
        if case["relu"] and case["sources"] > 1:
            assert case["rewritten"] < (0.005 if case["half"] else 1e-4), case


@pytest.mark.skipif("avx512_vnni" not in CPU, reason="the report names figures of AVX-512 VNNI")
def test_the_report_to_openvino_says_what_its_reproduction_prints():
    """A newer OpenVINO that is mended fails this: then send no report, and drop the rewriting."""
    pytest.importorskip("openvino")
    folder = ROOT / "docs" / "upstream"
    done = subprocess.run(
        [sys.executable, str(folder / "openvino_int8_concat.py")],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    errors = done.stdout.splitlines()[1:]
    assert len(errors) == 4
    report = (folder / "openvino-int8-concat.md").read_text(encoding="utf-8")
    assert [line for line in errors if line not in report] == []
