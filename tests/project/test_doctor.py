"""The doctor believes imports, not metadata, and draws the right conclusions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from contract.machine import Gpu, this_machine
from gasedge.doctor import EXTRAS, diagnose
from gasedge.jetpack import jetpack_of
from gasedge.probe import Package, Probe, probe, probe_all

PACKAGES = {p.distribution: p for packages in EXTRAS.values() for p in packages}
ORIN = Gpu("Orin", "8.7", 30_000, 12)


@pytest.fixture
def broken_packages(tmp_path, monkeypatch):
    """Modules that are there, each broken in its own way."""
    bodies = {
        "kills": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "exits": "import os; os._exit(7)",
        "raises": "raise ImportError('libnvinfer.so.10: cannot open\\nshared object file')",
        "shell": "__version__ = '9.9'",
        "talks": "import os; os.write(1, b'a banner'); __version__ = '1.2'",
        "sound": "class Builder: pass\n__version__ = '3.4'",
    }
    for name, body in bodies.items():
        (tmp_path / f"probe_{name}.py").write_text(body + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def package(name, attribute=""):
    return Package(f"no-{name}", f"probe_{name}", attribute)


def test_package_that_kills_its_importer_is_reported_and_the_next_still_tried(broken_packages):
    names = ["talks", "kills", "raises", "exits", "missing", "sound"]
    found = {p.package.module[6:]: p for p in probe([package(n) for n in names])}
    assert [n for n in names if found[n].works] == ["talks", "sound"]
    assert found["kills"].says == "importing it ends the process (signal 11)"
    assert found["exits"].says == "importing it ends the process (exit code 7)"
    assert found["raises"].says.endswith("libnvinfer.so.10: cannot open shared object file")
    assert found["missing"].says == "not installed"
    assert found["talks"].version == "1.2"


def test_shell_without_its_libraries_does_not_count(broken_packages):
    found = probe([package("shell", "Builder"), package("sound", "Builder")])
    assert [p.works for p in found] == [False, True]
    assert found[0].says == "has no Builder: its libraries are missing"


def test_package_of_two_extras_is_imported_once(broken_packages):
    both = package("sound")
    assert list(probe_all([[both], [both, package("missing")]])) == ["no-sound", "no-missing"]


def test_nothing_is_imported_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    assert probe([Package("numpy", "numpy")])[0].works


def diagnosis(works=(), versions=None, **machine):
    probes = {
        name: Probe(
            each,
            (versions or {}).get(name, "1.0") if name in works else None,
            name in works,
            "" if name in works else "not installed",
        )
        for name, each in PACKAGES.items()
    }
    here = replace(this_machine(), **({"gpu": None, "l4t": None} | machine))
    tools = {"gst-launch-1.0": "/usr/bin/gst-launch-1.0", "v4l2-ctl": None}
    return diagnose(here, probes, tools, "not measured")


def test_bare_machine_can_do_nothing_and_is_told_what_to_install():
    bare = diagnosis()
    assert bare.engine_path == "none: no TensorRT works here"
    assert bare.backend.startswith("none")
    assert any("gasedge[cpu]" in a for a in bare.advice)
    assert any("v4l-utils" in a for a in bare.advice)
    assert not any(bare.available(extra) for extra in EXTRAS)


def test_machine_without_gpu_builds_through_rtx_and_runs_on_the_cpu():
    found = diagnosis({"tensorrt-rtx-cu12-bindings", "openvino", "onnxruntime"})
    assert found.engine_path.startswith("TensorRT for RTX 1.0: builds engines ahead of time")
    assert found.backend == "OpenVINO 1.0 on the CPU"
    assert diagnosis({"onnxruntime"}).backend == "ONNX Runtime 1.0 on the CPU"


def test_tensorrt_without_gpu_is_not_called_a_working_path():
    found = diagnosis({"tensorrt", "pycuda"}, gpu_note="no NVIDIA driver")
    assert found.engine_path == "none: TensorRT 1.0 builds on a GPU only, and no NVIDIA driver"
    assert found.backend.startswith("none")


def test_gpu_needs_pycuda_too_to_run():
    found = diagnosis({"tensorrt", "openvino"}, gpu=ORIN)
    assert found.engine_path == "TensorRT 1.0 on Orin: builds and runs engines"
    assert found.backend == "OpenVINO 1.0 on the CPU"
    assert any("pip install pycuda" in a for a in found.advice)
    whole = diagnosis({"tensorrt", "openvino", "pycuda"}, gpu=ORIN)
    assert whole.backend.startswith("TensorRT 1.0 through pycuda where an engine is given")


@pytest.mark.parametrize(
    ("l4t", "name", "tensorrt"),
    [
        ("35.4.1", "5.x", "8.5"),
        ("36.3.0", "6.0", "8.6"),
        ("36.4.0", "6.1 or 6.2", "10.3"),
        ("36.4.3", "6.2", "10.3"),
        ("36.5.0", "6.2.2", "10.3"),
        ("38.2.1", "7.0", "10.13"),
        ("39.2.0", "7.2", "10.16"),
    ],
)
def test_jetson_release_gives_its_jetpack(l4t, name, tensorrt):
    found = jetpack_of(l4t)
    assert (found.name, found.tensorrt) == (name, tensorrt)


def test_unknown_release_is_said_to_be_unknown():
    assert jetpack_of("36.9") is None
    assert jetpack_of("3") is None
    assert any("not in gasedge's table" in a for a in diagnosis(l4t="99.1").advice)


def test_jetson_without_its_tensorrt_is_told_of_jetpack_and_not_of_pip():
    advice = diagnosis(l4t="36.4.3", gpu=ORIN).advice
    assert any("nvidia-jetpack" in a and "--system-site-packages" in a for a in advice)
    assert not any("gasedge[edge]" in a for a in advice)


def test_other_tensorrt_than_jetpacks_is_pointed_out():
    works = {"tensorrt", "pycuda", "openvino"}
    same = diagnosis(works, {"tensorrt": "10.3.0"}, l4t="36.4.3", gpu=ORIN)
    other = diagnosis(works, {"tensorrt": "10.7.0"}, l4t="36.4.3", gpu=ORIN)
    assert not any("measure" in a for a in same.advice)
    assert any("imports 10.7.0" in a for a in other.advice)


def test_too_old_jetpack_is_said_plainly():
    assert any("ships Python 3.8" in a for a in diagnosis(l4t="35.4.1", gpu=ORIN).advice)


def test_nothing_is_kept_for_engines_where_nothing_could_be_measured(monkeypatch, tmp_path, capsys):
    from gasedge.cli import main

    monkeypatch.setattr("gasedge.commands.doctor.examine", lambda _machine: diagnosis())
    assert main(["doctor", "--engines", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "transfer" in said.out
    assert f"{tmp_path}: nothing to keep there: transfer not measured" in said.err
    assert list(tmp_path.iterdir()) == []
    assert main(["doctor", "--engines", str(tmp_path / "absent")]) == 2


@pytest.mark.slow
def test_doctor_of_this_machine_tells_the_truth():
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", "doctor", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    packages = {extra: facts["packages"] for extra, facts in said["extras"].items()}
    for name, facts in {**packages["cpu"], **packages["edge"], **packages["rtx"]}.items():
        code = f"import {PACKAGES[name].module}"
        really = subprocess.run([sys.executable, "-c", code], capture_output=True).returncode
        assert facts["works"] == (really == 0), name
