"""Every command of the operations guide does what the guide says, in the order in which it stands.

The folders of a device are put below a folder of the test's, and `sudo` is left out. Those of
`systemctl` and `journalctl` are not run: what they act on must be a unit that `gasedge install` has
written. Whoever runs the test stands for the daemon's user.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from contract.camera_health import HealthCode
from tests.plant.waiting import free_port
from tests.project.source_tree import ROOT

GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if line
]
(CONFIGURATION,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
NOT_HERE = ("systemctl", "journalctl")
FOLDERS = ("/etc/gasedge", "/var/lib/gasedge")
CAMERA = "sim:seed=3&width=128&height=96&fps=4"


class Device:
    """A folder that stands for the device's root and for the release machine."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "device"
        self.work = folder / "work"
        for each in (self.work, self.root, folder / "t"):
            each.mkdir()
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # other daemons of this user are not this device's
            "TMPDIR": str(folder / "t"),
        }
        self.daemon = None
        self.command = []
        self.not_run = []
        self.printed = []

    def below(self, text):
        for folder in FOLDERS:
            text = text.replace(f" {folder}", f" {self.root}{folder}")
        return text

    def run(self, line):
        line = re.sub(r"^sudo( -E)? ", "", line)
        if line.startswith(NOT_HERE):
            self.not_run.append(line)
            if line in ("systemctl stop gasedge", "systemctl enable --now gasedge"):
                self.stop()  # Ctrl-C comes before the service
            if line in ("systemctl start gasedge", "systemctl enable --now gasedge"):
                self.start()
            return
        if line.startswith("systemd-"):
            self.systemd(line)
            return
        line = self.below(line).replace(" gasedge: ", f" {os.getuid()}:{os.getgid()} ")
        if line.startswith("gasedge install"):
            line += f" --root {self.root}"
        if line.startswith("gasedge run"):
            self.command = line.split()
            self.start()
            return
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = self.shell(f"printf %s {value}").stdout
            return
        done = self.done(line)
        if line.startswith("cp keys/signing.pub"):
            self.configure()
        if line.startswith("gasedge install"):
            then, _, _ = done.stdout.partition("then run:")[2].partition("and read the log")
            self.printed = [each.strip() for each in then.splitlines() if each.strip()]

    def done(self, line):
        done = self.shell(line)
        if line == "gasedge health":  # it tells what was so at the last beat
            until_s = time.monotonic() + 60
            while done.returncode and time.monotonic() < until_s:
                time.sleep(0.5)
                done = self.shell(line)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def systemd(self, line):
        """Make users and folders below the device's root, where systemd's programs are."""
        if shutil.which(line.split()[0]) is not None and os.getuid() == 0:
            done = self.shell(f"{line} --root {self.root}")
            assert done.returncode == 0, done.stderr
        rules = (self.root / "etc/tmpfiles.d/gasedge.conf").read_text()
        for name in re.findall(r'^d "/(.+)" 0700 gasedge gasedge -$', rules, re.MULTILINE):
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0 and line.startswith("systemd-tmpfiles"):
                users = self.root / "etc/passwd"
                if users.exists():
                    assert f"gasedge:x:{folder.stat().st_uid}:" in users.read_text()
                os.chown(folder, 0, 0)

    def shell(self, line):
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    def configure(self):
        text = CONFIGURATION
        for folder in FOLDERS:
            text = text.replace(f'"{folder}', f'"{self.root}{folder}')
        text = re.sub(r'source = ".*"', f'source = "{CAMERA}"', text)
        text = re.sub(r'host = ".*"', 'host = "127.0.0.1"', text)
        text = re.sub(r"port = \d+", lambda _: f"port = {free_port()}", text)
        text = text.replace("[plant.opcua]\n", f"[plant.opcua]\nport = {free_port()}\n")
        # a plant takes a minute, and what else this machine does must not decide a test
        text += "[update]\nshadow_s = 15\nleast_frames = 1\nslower_limit = 20\n"
        (self.root / "etc" / "gasedge" / "daemon.toml").write_text(text)

    def start(self):
        """As systemd would: ready once the daemon says so."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            path = self.folder / "notify"
            path.unlink(missing_ok=True)
            manager.bind(str(path))
            manager.settimeout(1)
            with (self.folder / "daemon.log").open("ab") as log:
                self.daemon = subprocess.Popen(
                    self.command,
                    cwd=self.work,
                    env=self.environment | {"NOTIFY_SOCKET": str(path)},
                    stderr=log,
                )
            until_s = time.monotonic() + 180
            word = b""
            while b"READY=1" not in word:
                assert self.daemon.poll() is None, (self.folder / "daemon.log").read_text()
                assert time.monotonic() < until_s, (self.folder / "daemon.log").read_text()
                with contextlib.suppress(TimeoutError):
                    word = manager.recv(4096)

    def stop(self):
        if self.daemon is None:
            return
        self.daemon.terminate()
        try:
            assert self.daemon.wait(60) == 0, (self.folder / "daemon.log").read_text()
        finally:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_guide_runs_in_order():
    for module in ("openvino", "asyncua", "aiohttp"):
        pytest.importorskip(module)
    for program in ("openssl", "tar", "bash"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here")
    # pytest's own folder may be too deep: a socket's path has 107 bytes
    with tempfile.TemporaryDirectory(prefix="box-") as folder:
        device = Device(Path(folder))
        try:
            for line in COMMANDS:
                device.run(line)
        finally:
            device.stop()
        assert device.printed  # what is printed on the device is what the guide says, in its order
        assert [line for line in COMMANDS if line in device.printed] == device.printed
        assert (device.root / "etc" / "systemd" / "system" / "gasedge.service").is_file()
        assert {line.split()[-1] for line in device.not_run if "daemon-reload" not in line} <= {
            "gasedge",
            "today",
        }
        assert (device.work / "audit.jsonl").stat().st_size > 0


@pytest.mark.parametrize("bit", [each.name for each in HealthCode])
def test_guide_says_what_to_do_about_every_health_bit(bit):
    rows = [line for line in GUIDE.splitlines() if line.startswith("| ")]
    assert any(bit in re.split(r"[ ,|]+", line.split("|")[1]) for line in rows), bit


def test_configuration_of_the_guide_names_every_folder_that_the_backup_holds():
    absolute = re.findall(r'"(/[^"]+)"', CONFIGURATION)
    assert all(path.startswith(FOLDERS) for path in absolute)
