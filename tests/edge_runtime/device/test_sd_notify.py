"""What systemd is told, by a real socket: of words, and of the real daemon."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.device.sd_notify import Notifier
from tests.edge_runtime.conftest import wait_for
from tests.signing import TRUST_TABLE, put_public_key

CONFIG = """\
[model]
bundle = "tiny.gasedge"
precision = "fp32"
threads = 1

[[camera]]
name = "north"
source = "sim:seed=3&width=96&height=64&fps=5"

[plant.modbus]
port = 0

"""


class Manager:
    """Listens where systemd would."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0)
        self.heard: list[tuple[float, str]] = []

    def words(self) -> list[str]:
        """Everything that was said so far."""
        while True:
            try:
                said = self.socket.recv(4096).decode()
            except BlockingIOError:
                return [word for _, word in self.heard]
            self.heard += [(time.monotonic(), word) for word in said.split("\n")]

    def fed_after(self, begin_s: float) -> bool:
        self.words()
        return any(word == "WATCHDOG=1" and at_s > begin_s for at_s, word in self.heard)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@gasedge-{os.getpid()}"
    made = Manager(address)
    yield made
    made.socket.close()


def test_words_reach_the_socket_and_the_environment_is_cleared(manager):
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", "OTHER": "1"}
    with Notifier(environment) as notifier:
        assert environment == {"OTHER": "1"}
        assert notifier.watchdog_s == 2.0
        notifier.say("READY=1", "MAINPID=7")
        notifier.status("serves")
        notifier.status("serves")
    assert manager.words() == ["READY=1", "MAINPID=7", "STATUS=serves"]


def test_a_watchdog_of_another_process_is_not_ours(manager):
    environment = {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": str(os.getpid() + 1),
    }
    with Notifier(environment) as notifier:
        assert notifier.watchdog_s is None


@pytest.mark.parametrize("address", ["", "no/path", "vsock:2:3"])
def test_without_a_socket_that_it_can_use_it_says_nothing(address):
    with Notifier({"NOTIFY_SOCKET": address}) as notifier:
        notifier.say("READY=1")


def test_a_manager_that_is_gone_costs_nothing(tmp_path, caplog):
    with Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}) as notifier:
        notifier.say("READY=1")
    assert "systemd was not told READY=1" in caplog.text


def child_of(parent: int, role: str) -> int | None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if above == parent and b"edge_runtime.daemon" in words and role.encode() in words:
            return int(folder.name)
    return None


def is_locked(folder: Path) -> bool:
    """Whether systemd-tmpfiles would leave it alone."""
    seen = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(seen, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(seen)
    return False


@pytest.mark.slow
def test_the_daemon_is_ready_fed_by_progress_alone_and_says_when_it_ends(
    tiny_bundle: Path, tmp_path: Path
):
    pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")
    put_public_key(tmp_path)
    (tmp_path / "daemon.toml").write_text(CONFIG + TRUST_TABLE)
    (tmp_path / "t").mkdir()
    manager = Manager(str(tmp_path / "notify"))
    daemon = subprocess.Popen(
        [sys.executable, "-m", "gasedge", "-q", "run", str(tmp_path / "daemon.toml")],
        env={
            **os.environ,
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": "4000000",
            "TMPDIR": str(tmp_path / "t"),
        },
        start_new_session=True,
    )
    try:
        wait_for(lambda: "READY=1" in manager.words(), 60)
        wait_for(lambda: manager.fed_after(time.monotonic() - 1), 20)
        assert "STATUS=every process serves" in manager.words()
        (folder,) = (tmp_path / "t").glob("gasedge-*")
        assert is_locked(folder)  # or systemd-tmpfiles would tidy it up after ten days
        for role in ("frames", "plant"):
            pid = child_of(daemon.pid, role)
            os.kill(pid, signal.SIGSTOP)
            # what it said before may feed once more
            stopped_s = time.monotonic() + 2.5
            while time.monotonic() < stopped_s + 4:  # as long as the watchdog waits
                assert not manager.fed_after(stopped_s), role
                time.sleep(0.05)
            os.kill(pid, signal.SIGCONT)
            resumed_s = time.monotonic()
            wait_for(lambda since=resumed_s: manager.fed_after(since), 20)
    finally:
        daemon.terminate()
        code = daemon.wait(20)
    assert code == 0
    assert manager.words()[-1] == "STOPPING=1"
    manager.socket.close()
