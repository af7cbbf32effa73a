"""`gasedge install --systemd`: what it writes, and what systemd itself says of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import ConfigError
from edge_runtime.config import load_daemon_config
from gasedge.cli import main
from gasedge.commands import install
from gasedge.systemd_unit import Service, unit_text

UNIT = "etc/systemd/system/gasedge.service"
CONFIG = """\
[model]
bundle = "site.gasedge"
engine = "/var/lib/gasedge/engines/site.engine"

[trust]
keys = ["vendor.pub"]

[[camera]]
name = "north"
source = "v4l2:/dev/video0"

[plant]
state_dir = "/var/lib/gasedge"

[plant.modbus]
port = 502

[plant.evidence]
folder = "/data/evidence"
"""


@pytest.fixture
def device(tmp_path):
    """The root of a device with a configuration."""
    path = tmp_path / "root/etc/gasedge/daemon.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    return tmp_path / "root"


def installed(device: Path, *options: str) -> int:
    config = device / "etc/gasedge/daemon.toml"
    return main(["install", "--systemd", "--root", str(device), *options, str(config)])


def options_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_unit_names_what_this_configuration_needs_and_nothing_else(device, capsys):
    assert installed(device, "--user", "leaks", "--network", "10.20.0.0/24") == 0
    unit = options_of((device / UNIT).read_text())
    assert unit["ExecStart"][0].endswith("-m gasedge run /etc/gasedge/daemon.toml")
    assert unit["User"] == ["leaks"]
    assert unit["StateDirectory"] == ["gasedge"]  # the engines' folder is below it
    assert unit["ReadWritePaths"] == ["/data/evidence"]
    assert unit["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]  # for port 502
    assert "char-nvmap rw" in unit["DeviceAllow"]
    assert "char-video4linux rw" in unit["DeviceAllow"]
    assert unit["IPAddressDeny"] == ["any"]
    assert unit["IPAddressAllow"] == ["localhost 10.20.0.0/24"]
    assert (
        (device / "etc/sysusers.d/gasedge.conf")
        .read_text()
        .endswith('u leaks - "gasedge" /var/lib/gasedge\n')
    )
    folders = (device / "etc/tmpfiles.d/gasedge.conf").read_text()
    assert 'd "/data/evidence" 0700 leaks leaks -' in folders
    assert 'd "/var/lib/gasedge" 0700 leaks leaks -' in folders  # a model comes before the start
    assert "SystemMaxUse=" in (device / "etc/systemd/journald@gasedge.conf").read_text()
    said = capsys.readouterr().out
    assert "sudo systemctl enable --now gasedge" in said


def test_without_gpu_camera_and_low_port_there_is_no_device_and_no_right():
    service = Service("gasedge", ["/opt/gasedge/bin/gasedge"], [])
    unit = options_of(unit_text(service))
    assert unit["PrivateDevices"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert "DeviceAllow" not in unit
    assert "BindPaths" not in unit


def test_a_folder_of_slots_is_written_by_the_service(device):
    path = device / "etc/gasedge/daemon.toml"
    changed = path.read_text().replace("site.gasedge", "/var/lib/gasedge-models")
    path.write_text(changed.replace('engine = "/var/lib/gasedge/engines/site.engine"\n', ""))
    assert installed(device) == 0
    unit = options_of((device / UNIT).read_text())
    assert unit["StateDirectory"] == ["gasedge gasedge-models"]


@pytest.mark.parametrize(
    "folder", ["", "etc", "opt", "var/lib", "usr/local", "usr/local/etc", "etc/cron.d", "a/../etc"]
)
def test_a_configuration_in_a_folder_of_everybody_is_refused_that_folder_would_be_given_away(
    device, capsys, folder
):
    (device / "a").mkdir()
    (device / folder).mkdir(parents=True, exist_ok=True)
    path = device / folder / "gasedge.toml"
    path.write_text(CONFIG)
    assert main(["install", "--systemd", "--root", str(device), str(path)]) == 2
    said = capsys.readouterr()
    assert "is not the daemon's alone" in said.err
    assert said.err.count("\n") == 1
    assert "use /etc/gasedge" in said.err
    assert "chown" not in said.out
    assert not (device / UNIT).exists()


def test_what_is_printed_can_be_pasted_whatever_the_folder_is_called(device, capsys):
    config = device / "etc" / "site; rm -rf x" / "daemon.toml"
    config.parent.mkdir()
    config.write_text(CONFIG)
    assert main(["install", "--systemd", "--root", str(device), str(config)]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "chown" in each]
    assert shlex.split(line) == ["sudo", "chown", "-R", "gasedge:", "/etc/site; rm -rf x"]


def test_dry_run_prints_and_writes_nothing(device, capsys):
    assert installed(device, "--dry-run") == 0
    assert not (device / UNIT).exists()
    assert "Type=notify" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (("/data/evidence", "/home/me/evidence"), (), "a folder lies where the service cannot"),
        (("/data/evidence", "/data"), (), "/data: is not the daemon's alone"),
        (("/var/lib/gasedge/engines/", "/opt/"), (), "/opt: is not the daemon's alone"),
        (('state_dir = "/var/lib/gasedge"', 'state_dir = "/var/lib"'), (), "/var/lib: is not the"),
        (("/var/lib", "/var/lib"), ("--user", "Root me"), "--user Root me"),
        (("/var/lib", "/var/lib"), ("--network", "10.0.0.1/8"), "--network: 10.0.0.1/8"),
    ],
)
def test_what_cannot_work_is_refused(device, capsys, change, options, said):
    path = device / "etc/gasedge/daemon.toml"
    path.write_text(path.read_text().replace(*change))
    assert installed(device, *options) == 2
    assert said in capsys.readouterr().err
    assert not (device / UNIT).exists()


def test_a_python_that_the_service_cannot_see_is_refused_where_it_is_to_run(device, monkeypatch):
    settings = load_daemon_config(device / "etc/gasedge/daemon.toml")
    monkeypatch.setattr(sys, "executable", "/home/me/.venv/bin/python")
    path = Path("/etc/gasedge/daemon.toml")
    with pytest.raises(ConfigError, match=r"/home/me.*python lies where the service cannot"):
        install._service(settings, path, "gasedge", [], None)


def test_a_folder_that_cannot_be_written_is_one_line(device, capsys):
    (device / "etc/systemd").write_text("a file\n")
    assert installed(device) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_word_with_spaces_and_signs_of_systemd_is_quoted():
    service = Service("u", ["/opt/my gasedge/run", "50%$x"], [])
    assert 'ExecStart="/opt/my gasedge/run" 50%%$$x' in unit_text(service)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (apt)")
def test_systemd_finds_no_fault_and_little_exposure(device):
    installed(device, "--network", "10.20.0.0/24")
    verified = subprocess.run(
        ["systemd-analyze", "verify", device / UNIT], capture_output=True, text=True
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    weighed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", device / UNIT],
        capture_output=True,
        text=True,
    )
    assert weighed.returncode == 0, weighed.stdout[-300:] + weighed.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (apt)")
def test_the_call_that_tells_of_the_time_server_is_allowed_by_name():
    """`@system-service` has it not: without its name the clock would be called bad for ever."""
    service = unit_text(Service("u", ["x"], []))
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "@system-service"], capture_output=True, text=True
    )
    assert "adjtimex" not in listed.stdout
    assert "adjtimex" in options_of(service)["SystemCallFilter"][0]


def test_image_runs_as_nobody_special_without_a_compiler_and_asks_for_its_health():
    """What can be read of the file; it was never built here."""
    root = Path(__file__).parents[2]
    text = (root / "packaging/Dockerfile.l4t").read_text().replace("\\\n", " ")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    last = stages[-1]
    assert re.search(r"^USER 990:990$", last, re.MULTILINE)
    assert not re.search(r"build-essential|gcc|python3-dev|pip install", last)
    assert 'CMD ["gasedge", "health"]' in last
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((root / each).exists() for each in copied.split())
