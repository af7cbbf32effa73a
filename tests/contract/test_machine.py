"""What machine is this: facts from the kernel's files, never a guess."""

from __future__ import annotations

import json

import pytest

from contract.machine import available_memory_mib, this_machine

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
STATUS = """Package: nvidia-l4t-camera
Status: install ok installed
Version: 1.0-1

Package: nvidia-l4t-core
Status: install ok installed
Architecture: arm64
Version: 39.2.0-20260611101010

Package: zlib1g
Version: 9.9
"""


def put(root, name, text):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_this_machine_is_described_in_one_line_and_as_json():
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_mib > 256
    assert 0 < available_memory_mib() <= machine.memory_mib
    assert "\n" not in str(machine)
    assert json.loads(json.dumps(machine.as_dict()))["cpu"] == machine.cpu
    assert (machine.gpu is None) == (machine.gpu_note is not None)


@pytest.mark.parametrize(
    ("file", "text", "l4t"),
    [
        ("etc/nv_tegra_release", RELEASE, "36.4.3"),
        ("var/lib/dpkg/status", STATUS, "39.2.0"),
        ("var/lib/dpkg/status", STATUS.replace("nvidia-l4t-core", "other"), None),
    ],
)
def test_jetson_linux_release_is_read_from_file_or_package(tmp_path, file, text, l4t):
    put(tmp_path, file, text)
    assert this_machine(tmp_path).l4t == l4t


def test_jetson_board_and_arm_cpu_are_named(tmp_path):
    put(tmp_path, "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n")
    machine = this_machine(tmp_path)
    assert machine.board == "NVIDIA Jetson AGX Orin Developer Kit"
    assert machine.cpu.endswith("part 0xd42")
    assert str(machine).startswith("NVIDIA Jetson AGX Orin")


def test_driver_version_is_the_kernel_modules(tmp_path):
    said = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\n"
    put(tmp_path, "proc/driver/nvidia/version", said)
    assert this_machine(tmp_path).driver == "570.124.06"


def test_what_cannot_be_read_is_none_not_a_guess(tmp_path):
    machine = this_machine(tmp_path)
    assert machine.l4t is None
    assert machine.board is None
    assert machine.memory_mib == 0
