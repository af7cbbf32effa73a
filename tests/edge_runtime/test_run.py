"""The whole daemon as a user starts it, read back through an independent Modbus client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.tags import HealthCode, LeakState, Quality, tag
from tests.edge_runtime.conftest import wait_for

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")
pymodbus = pytest.importorskip("pymodbus.client", reason="pip install 'gasedge[dev]'")
pymodbus_exceptions = pytest.importorskip("pymodbus.exceptions")

STATE = tag("Leak/State").register
CODE = tag("Health/Code").register
QUALITY = tag("Health/Quality").register
HEARTBEAT = tag("Health/Heartbeat").register
CONFIG = """\
[model]
bundle = "tiny.gasedge"
precision = "fp32"
threads = 1

[trust]
keys = ["tests.pub"]

[[camera]]
name = "north"
source = "{source}"

[plant.modbus]
port = {port}
"""


class Daemon:
    """A running `gasedge run`."""

    def __init__(self, folder: Path, source: str, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = folder / "daemon.toml"
        config.write_text(CONFIG.format(source=source, port=self.port))
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gasedge", "run", str(config), *options],
                stderr=log,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def registers(self) -> list[int] | None:
        """Input registers 0..7, None while nobody answers."""
        client = pymodbus.ModbusTcpClient("127.0.0.1", port=self.port, timeout=2)
        try:
            if not client.connect():
                return None
            answer = client.read_input_registers(0, count=8, device_id=1)
            return None if answer.isError() else list(answer.registers)
        except (OSError, pymodbus_exceptions.ModbusException):
            return None
        finally:
            client.close()

    def quality_is(self, *wanted: Quality) -> bool:
        registers = self.registers()
        return registers is not None and registers[QUALITY] in wanted

    def descendants(self) -> dict[int, str]:
        """Process id -> role of everything that this daemon started."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if b"edge_runtime.daemon" in words and parent == self.process.pid:
                found[int(entry.name)] = words[words.index(b"edge_runtime.daemon") + 1].decode()
        return found

    def child(self, role: str) -> int:
        return wait_for(
            lambda: next((pid for pid, r in self.descendants().items() if r == role), None), 20
        )

    def close(self) -> None:
        pids = list(self.descendants())
        self.process.terminate()
        self.process.wait(20)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.fixture
def daemon(tiny_bundle: Path):
    """Start daemons beside the tiny bundle and end them with the test."""
    started = []

    def start(source: str = "sim:seed=3&width=96&height=64", *options: str) -> Daemon:
        started.append(Daemon(tiny_bundle.parent, source, *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def gone(pids) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_hung_or_killed_frames_are_unknown_within_two_seconds_and_come_back(daemon):
    running = daemon()
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    frames = running.child("frames")
    for number in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(frames, number)
        begin = time.monotonic()
        wait_for(lambda: running.quality_is(Quality.BAD), 5)
        assert time.monotonic() - begin < 3  # two, and what a loaded machine adds
        assert running.registers()[STATE] == LeakState.UNKNOWN
        if number == signal.SIGSTOP:
            os.kill(frames, signal.SIGCONT)
            wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    assert running.child("frames") != frames


def test_a_killed_plant_process_is_started_again_while_the_frames_go_on(daemon):
    running = daemon()
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    frames = running.child("frames")
    beats = running.registers()[HEARTBEAT]
    os.kill(running.child("plant"), signal.SIGKILL)
    wait_for(lambda: running.registers() is None, 5)
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    assert running.child("frames") == frames
    # counts once a second
    wait_for(lambda: (running.registers() or [0] * 8)[HEARTBEAT] > beats)


def test_a_configuration_that_is_broken_under_way_keeps_no_process_from_coming_back(daemon):
    running = daemon()
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    config = running.log.with_name("daemon.toml")
    config.write_text(config.read_text()[:40])
    for role in ("frames", "plant"):
        os.kill(running.child(role), signal.SIGKILL)
    wait_for(lambda: not running.quality_is(Quality.UNCERTAIN), 5)
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 60)


def test_a_killed_parent_takes_its_children_with_it(daemon):
    running = daemon()
    children = [running.child("frames"), running.child("plant")]
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    wait_for(lambda: gone(children), 10)
    assert running.registers() is None


def test_ctrl_c_ends_with_130_keeps_the_video_and_leaves_nothing_running(daemon, tmp_path: Path):
    video = tmp_path / "overlay.mp4"
    running = daemon("sim:seed=3&width=96&height=64", "--overlay", str(video))
    wait_for(lambda: running.quality_is(Quality.UNCERTAIN), 40)
    children = list(running.descendants())
    begin = time.monotonic()
    os.kill(running.process.pid, signal.SIGINT)
    assert running.process.wait(10) == 130
    assert time.monotonic() - begin < 8
    assert len(children) == 2
    assert gone(children)
    from tests.edge_runtime.test_overlay import pictures_in_video

    assert pictures_in_video(video)
    assert not list(tmp_path.glob(".partial-*"))


def test_an_ended_file_is_served_as_unknown_until_somebody_stops_the_daemon(daemon, write_clip):
    running = daemon(f"file:{write_clip(frames=30)}?every")
    ended = HealthCode.SOURCE_ENDED | HealthCode.TEST_SOURCE
    wait_for(lambda: (running.registers() or [0] * 8)[CODE + 1] == ended, 60)
    assert running.quality_is(Quality.BAD)
    time.sleep(1)  # still there, still unknown
    registers = running.registers()
    assert registers[CODE + 1] == ended
    assert registers[STATE] == LeakState.UNKNOWN
    assert registers[HEARTBEAT] >= 1
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(10) == 0


def test_until_end_ends_with_0_and_duration_too(daemon, write_clip):
    ends = daemon(f"file:{write_clip(frames=10)}?every", "--until-end")
    assert ends.process.wait(60) == 0
    lasts = daemon("sim:seed=1&width=64&height=64", "--duration", "1")
    assert lasts.process.wait(30) == 0


def test_a_clip_that_is_not_there_is_one_line_and_exit_2(daemon):
    running = daemon("file:nowhere.mp4")
    assert running.process.wait(20) == 2
    (line,) = running.log.read_text().splitlines()
    assert line.startswith("gasedge: camera north: source ")
    assert line.endswith("nowhere.mp4 is not there")
