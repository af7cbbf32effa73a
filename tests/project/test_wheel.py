"""What is installed from the wheel is all of it, and the base install is small."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from email.parser import Parser

import pytest

from gasedge.doctor import EXTRAS
from tests.project.source_tree import ROOMS, ROOT

BASE = {"click", "numpy", "pydantic", "tomli", "tqdm"}
_UNREACHABLE = ("Could not find a version", "No matching distribution", "connection", "Max retries")


def pip(*arguments, python=sys.executable, **options):
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in the dev extra")
    folder = tmp_path_factory.mktemp("wheel")
    done = pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("gasedge-*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements(metadata):
    """Distribution and extra ("" for the base) of every requirement."""
    for text in metadata.get_all("Requires-Dist"):
        name = re.match(r"[A-Za-z0-9_.-]+", text).group(0)
        extra = re.search(r"""extra == ['"]([a-z]+)['"]""", text)
        yield name, extra.group(1) if extra else ""


def test_wheel_holds_every_room_and_every_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    files = [
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    assert [f for f in files if f not in inside] == []
    for suffix in (".html", ".css", ".js", ".svg", ".cu", ".cubin"):
        assert any(f.endswith(suffix) for f in inside), suffix
    tops = {name.partition("/")[0] for name in inside}
    assert tops == {*ROOMS, *(t for t in tops if t.endswith(".dist-info"))}
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_base_install_asks_for_neither_torch_nor_onnx(metadata):
    assert {name for name, extra in requirements(metadata) if not extra} == BASE


def test_doctor_knows_what_each_extra_brings(metadata):
    # the libraries of TensorRT for RTX are seen through its bindings
    unseen = {"tensorrt-rtx-cu12-libs"}
    for extra, packages in EXTRAS.items():
        brought = {name for name, of in requirements(metadata) if of == extra} - unseen
        assert {p.distribution for p in packages} == brought, extra


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bare_device_can_ask_for_help_and_for_the_doctor(wheel, tmp_path):
    venv = tmp_path / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no virtual environment can be made here: {made.stdout.strip()[-200:]}")
    done = pip("install", str(wheel), python=str(venv / "bin" / "python"))
    if done.returncode and any(said in done.stderr for said in _UNREACHABLE):
        pytest.skip(f"the package index is not reachable: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def gasedge(*arguments):
        return subprocess.run(
            [str(venv / "bin" / "gasedge"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )

    start = time.monotonic()
    told = gasedge("--help")
    took_s = time.monotonic() - start
    assert told.returncode == 0, told.stderr
    assert took_s < 10  # it takes half a second on an idle machine
    commands = re.findall(r"^  ([a-z-]+)  ", told.stdout.partition("Commands:")[2], re.MULTILINE)
    assert {"train", "run", "doctor"} <= set(commands)
    for command in commands:
        told = gasedge(command, "--help")
        assert told.returncode == 0, f"{command}: {told.stderr}"
    told = gasedge("doctor", "--json")
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert said["engine_path"].startswith("none")
    assert said["backend"].startswith("none")
    assert not any(extra["works"] for extra in said["extras"].values())
    assert any("pip install 'gasedge[cpu]'" in advice for advice in said["advice"])
    refused = gasedge("doctor", "--require", "cpu")
    assert refused.returncode == 3
    # a stage without its packages names the extra in one line, and leaves nothing
    (tmp_path / "picture.pt").write_bytes(b"x")
    missing = gasedge("export", "picture.pt", "--out", "a.gasedge")
    assert missing.returncode == 1
    assert "pip install 'gasedge[" in missing.stderr
    assert "Traceback" not in missing.stderr
