"""`gasedge apply` as it is typed: beside no daemon, and beside the real one with real clients."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from contract.tags import HealthCode, LeakState, Quality, tag
from gasedge.cli import main
from tests.edge_runtime.conftest import wait_for
from tests.edge_runtime.slots.models import blind, later, lying
from tests.edge_runtime.test_run import CODE, QUALITY, STATE, Daemon

if TYPE_CHECKING:
    from typing_extensions import Self

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")
pymodbus = pytest.importorskip("pymodbus.client", reason="pip install 'gasedge[dev]'")

MODEL = tag("Model/Sha256").register
SEQ = tag("Frame/Seq").register
CONFIG = """\
[model]
bundle = "models"
precision = "fp32"
threads = 1

[trust]
keys = ["tests.pub"]

[update]
shadow_s = 4
shadow_share = 0.5
least_frames = 3
slower_limit = 20  # what else this machine does must not decide a test
crash_starts = 2
{update}

[[camera]]
name = "north"
source = "sim:seed=3&width=96&height=64&fps=5"

[plant]
state_dir = "state"
bad_after_s = 4

[plant.modbus]
port = {port}
"""


class Typed(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


def typed(folder: Path, *words: str) -> Typed:
    """What somebody types on the device, in the folder of the configuration."""
    assert Path.cwd() == folder
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["-q", *words])
    return Typed(code, out.getvalue(), err.getvalue())


def applied(folder: Path, *words: str) -> dict:
    done = typed(folder, "apply", *words, "daemon.toml", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def status(folder: Path) -> dict:
    return json.loads(typed(folder, "apply", "daemon.toml", "--status", "--json").stdout)


def running_model(folder: Path) -> str:
    found = status(folder)
    return found["slots"][found["active"]]["model_id"]


def one_line(done: Typed, code: int, said: str) -> None:
    assert done.returncode == code, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("gasedge: ")]
    assert said in line
    assert "Traceback" not in done.stderr


class SlotDaemon(Daemon):
    """A running `gasedge run` on a folder of slots."""

    def __init__(self, folder: Path) -> None:
        self.port = int((folder / "daemon.toml").read_text().rpartition("port = ")[2])
        self.log = folder / "log.txt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gasedge", "run", str(folder / "daemon.toml")],
                stderr=log,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def read(self) -> list[int]:
        """80 registers of the camera."""
        with pymodbus.ModbusTcpClient("127.0.0.1", port=self.port, timeout=5) as client:
            return client.read_input_registers(0, count=80, device_id=1).registers


@pytest.fixture
def device(tiny_bundle: Path, monkeypatch):
    """The folder of a device's configuration, tiny.gasedge beside it."""
    monkeypatch.chdir(tiny_bundle.parent)
    monkeypatch.setenv("STATE_DIRECTORY", "")  # what apply sets ends with the test
    return configured(tiny_bundle.parent)


def configured(folder: Path, update: str = "") -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "daemon.toml").write_text(CONFIG.format(port=port, update=update))
    return folder


@pytest.fixture
def start():
    """Start daemons and end them with the test."""
    started = []

    def begin(folder: Path) -> SlotDaemon:
        started.append(SlotDaemon(folder))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def test_the_first_model_is_taken_by_the_next_start_and_once_only(device: Path):
    done = applied(device, "tiny.gasedge")
    assert (done["outcome"], done["slot"]) == ("next start", "slot-a")
    assert applied(device, "tiny.gasedge")["outcome"] == "runs already"
    found = status(device)
    assert found["slots"]["slot-a"]["condition"] == "trial"
    assert [event["what"] for event in found["history"]] == ["staged", "switched"]
    assert typed(device, "config", "check", "daemon.toml").returncode == 0


def test_what_is_not_trusted_never_gets_into_a_slot(device: Path, tiny_bundle: Path):
    applied(device, "tiny.gasedge")
    before = (device / "models" / "slots.json").read_text()
    graph = later(tiny_bundle, "changed") / "model.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")
    one_line(typed(device, "apply", "changed.gasedge", "daemon.toml"), 1, "SHA-256")
    (later(tiny_bundle, "unsigned") / "manifest.sig").unlink()
    one_line(typed(device, "apply", "unsigned.gasedge", "daemon.toml"), 1, "is not signed")
    one_line(typed(device, "apply", "nowhere.gasedge", "daemon.toml"), 1, "no such folder")
    (device / "text.gasedge").write_text("no bundle")
    one_line(typed(device, "apply", "text.gasedge", "daemon.toml"), 1, "text.gasedge: is cut off")
    found = status(device)
    assert list(found["slots"]) == ["slot-a"]
    assert [e["what"] for e in found["history"][2:]] == ["refused"] * 3
    assert json.loads(before)["slots"] == found["slots"]
    assert not list((device / "models").glob(".partial-*"))


def test_a_model_older_than_a_confirmed_one_is_refused(device: Path, tiny_bundle: Path):
    from edge_runtime.slots.store import SlotStore

    later(tiny_bundle, "newer", counter=5)
    applied(device, "newer.gasedge")
    SlotStore(device / "models").change(lambda s: s.confirmed(s.running.manifest_sha256, at=""))
    later(tiny_bundle, "older", counter=4)
    one_line(typed(device, "apply", "older.gasedge", "daemon.toml", "--shadow", "0"), 1, "too old")
    assert running_model(device) == "newer"


def test_the_status_of_a_daemon_of_an_earlier_release_is_told(device: Path):
    applied(device, "tiny.gasedge")
    door = device / "models" / "door"
    door.mkdir(mode=0o700)

    def answer(listening: socket.socket) -> None:
        for _ in range(2):  # who only looks whether somebody is there, and who asks
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as stream:
                if stream.readline():
                    stream.write(b'{"run_ms": null, "good_s": 3.0}\n')

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door / "apply.sock"))
        listening.listen()
        earlier = threading.Thread(target=answer, args=(listening,), daemon=True)
        earlier.start()
        assert status(device)["trial_s"] == 3
        earlier.join(5)


def test_without_a_daemon_a_shadow_run_is_asked_for_in_vain(device: Path, tiny_bundle: Path):
    applied(device, "tiny.gasedge")
    later(tiny_bundle, "second")
    one_line(typed(device, "apply", "second.gasedge", "daemon.toml"), 2, "--shadow 0")
    one_line(typed(device, "apply", "--rollback", "daemon.toml"), 2, "no model to go back to")
    done = applied(device, "second.gasedge", "--shadow", "0", "--dry-run")
    assert done["outcome"] == "dry run"
    assert running_model(device) == "tiny"
    assert applied(device, "second.gasedge", "--shadow", "0")["outcome"] == "next start"
    assert running_model(device) == "second"
    third = typed(device, "apply", "tiny.gasedge", "daemon.toml", "--shadow", "0")
    one_line(third, 2, "is on trial")  # it would take the place of the way back
    assert typed(device, "apply", "--rollback", "daemon.toml").returncode == 0
    assert running_model(device) == "tiny"


def test_a_model_that_does_not_prove_itself_is_told_apart(device: Path, tiny_bundle: Path):
    applied(device, "tiny.gasedge")
    lying(tiny_bundle)
    done = typed(device, "apply", "lying.gasedge", "daemon.toml", "--shadow", "0")
    one_line(done, 1, "known-answer test not passed")
    blind(tiny_bundle)
    done = typed(device, "apply", "blind.gasedge", "daemon.toml", "--shadow", "0")
    one_line(done, 3, "0% of the gas in the running model's golden frames")
    assert running_model(device) == "tiny"


def test_wrong_words_are_one_line(device: Path):
    plain = (device / "daemon.toml").read_text().replace('"models"', '"tiny.gasedge"')
    (device / "plain.toml").write_text(plain)
    one_line(typed(device, "apply", "tiny.gasedge", "plain.toml"), 2, "is a bundle itself")
    assert typed(device, "apply", "daemon.toml").returncode == 2
    assert typed(device, "apply", "a", "b", "c").returncode == 2
    assert typed(device, "apply", "tiny.gasedge", "daemon.toml", "--status").returncode == 2
    assert typed(device, "apply", "--rollback", "--status", "daemon.toml").returncode == 2
    from edge_runtime.slots.store import SlotStore

    with SlotStore(device / "models").applying():
        done = typed(device, "apply", "tiny.gasedge", "daemon.toml")
    one_line(done, 2, "another gasedge apply is at work")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_another_users_slots_are_left_alone(device: Path):
    (device / "models").mkdir()
    os.chown(device / "models", 12345, -1)
    done = typed(device, "apply", "tiny.gasedge", "daemon.toml")
    one_line(done, 2, "run this as that user: sudo -u #12345")
    done = typed(device, "apply", "daemon.toml", "--status")
    one_line(done, 2, "run this as that user: sudo -u #12345")
    done = typed(device, "apply", "daemon.toml", "--rollback")
    one_line(done, 2, "run this as that user: sudo -u #12345")
    assert not list((device / "models").iterdir())


class Row(NamedTuple):
    """What the client reads at once."""

    quality: int
    state: int
    model: int  # first 32 bits of the graph's hash
    seq: int


class Watcher:
    """A client that reads the camera every 20 ms, as a PLC does."""

    def __init__(self, daemon: SlotDaemon) -> None:
        self.rows: list[Row] = []
        self._daemon, self._done = daemon, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with pymodbus.ModbusTcpClient("127.0.0.1", port=self._daemon.port, timeout=5) as client:
            while not self._done.wait(0.02):
                r = client.read_input_registers(0, count=80, device_id=1).registers
                self.rows.append(
                    Row(r[QUALITY], r[STATE], r[MODEL] << 16 | r[MODEL + 1], r[SEQ + 3])
                )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def test_a_device_from_its_first_model_to_the_next_and_back_without_a_gap(
    device: Path, tiny_bundle: Path, start
):
    (device / "models").mkdir()
    configured(device, "golden_gas_least = 0")  # what is blind must show in the shadow run alone
    daemon = start(device)
    wait_for(lambda: daemon.registers() is not None, 60)
    wait_for(lambda: HealthCode.MODEL_INVALID in code(daemon), 40)  # nothing was applied yet
    assert applied(device, "tiny.gasedge")["outcome"] == "switched"
    wait_for(lambda: daemon.quality_is(Quality.UNCERTAIN), 40)
    wait_for(lambda: daemon.read()[STATE] != LeakState.UNKNOWN, 20)
    frames = daemon.child("frames")

    lying(tiny_bundle)
    blind(tiny_bundle)
    later(tiny_bundle, "second")
    with Watcher(daemon) as watcher:
        one_line(typed(device, "apply", "lying.gasedge", "daemon.toml"), 1, "known-answer test")
        one_line(typed(device, "apply", "blind.gasedge", "daemon.toml"), 3, "camera north: ")
        wait_for(lambda: len(watcher.rows) > 20, 20)
        assert len({row.model for row in watcher.rows}) == 1
        done = applied(device, "second.gasedge")
        wait_for(lambda: len({row.model for row in watcher.rows}) == 2, 20)
        wait_for(lambda: watcher.rows[-1].seq > watcher.rows[0].seq + 5, 20)
    assert done["outcome"] == "switched"
    assert done["report"]["cameras"]["north"]["frames"] >= 3
    assert done["report"]["cameras"]["north"]["disagreement"] == 0  # the same network
    assert 0 < done["report"]["cpu_share"] < 0.6  # shadow_share, and what fetching costs
    assert daemon.child("frames") == frames
    # no gap: never unknown, never bad, one change of the name, and frames were counted on
    assert LeakState.UNKNOWN not in {row.state for row in watcher.rows}
    assert Quality.BAD not in {row.quality for row in watcher.rows}
    names = [row.model for row in watcher.rows]
    assert sum(a != b for a, b in itertools.pairwise(names)) == 1
    steps = [after.seq - before.seq for before, after in itertools.pairwise(watcher.rows)]
    assert min(steps) >= 0
    assert running_model(device) == "second"

    assert typed(device, "apply", "--rollback", "daemon.toml").returncode == 0
    wait_for(lambda: daemon.read()[MODEL] == names[0] >> 16, 10)
    assert daemon.child("frames") == frames
    assert running_model(device) == "tiny"
    told = wait_for(lambda: audited(device, 7), 20)
    refused = ["refused", "refused"]
    assert told == ["staged", "switched", *refused, "staged", "switched", "rolled back"]
    assert typed(device, "audit", "verify", "state").returncode == 0


def test_a_model_that_takes_its_process_down_goes_back_by_itself(
    device: Path, tiny_bundle: Path, start
):
    applied(device, "tiny.gasedge")
    later(tiny_bundle, "second")
    applied(device, "second.gasedge", "--shadow", "0")
    daemon = start(device)
    for number in (1, 2):  # crash_starts
        wait_for(lambda count=number: status(device)["starts"] == count, 60)
        frames = daemon.child("frames")
        os.kill(frames, signal.SIGKILL)
        wait_for(lambda pid=frames: daemon.child("frames") != pid, 40)
    wait_for(lambda: running_model(device) == "tiny", 60)
    wait_for(lambda: daemon.quality_is(Quality.UNCERTAIN), 40)
    found = status(device)
    assert found["slots"]["slot-b"]["condition"] == "failed"
    assert found["history"][-1]["what"] == "rolled back"
    assert "2 starts in a row" in found["history"][-1]["reason"]
    wait_for(lambda: HealthCode.DEVICE in code(daemon), 20)  # somebody should know


def test_a_slot_that_was_damaged_on_the_disk_gives_way_at_the_next_start(
    device: Path, tiny_bundle: Path, start
):
    applied(device, "tiny.gasedge")
    later(tiny_bundle, "second", counter=0)
    applied(device, "second.gasedge", "--shadow", "0")
    from edge_runtime.slots.store import SlotStore

    SlotStore(device / "models").change(lambda s: s.confirmed(s.running.manifest_sha256, at=""))
    graph = device / "models" / "slot-b" / "model.gasedge" / "model.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")
    daemon = start(device)
    wait_for(lambda: daemon.quality_is(Quality.UNCERTAIN), 60)
    found = status(device)
    assert running_model(device) == "tiny"
    assert "SHA-256" in found["slots"]["slot-b"]["reason"]


def audited(device: Path, count: int) -> list[str]:
    """What the audit journal says of models, once it holds so much."""
    done = typed(device, "audit", "show", "state", "--json", "--last", "1000")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    said = [r["comment"].partition(" at ")[0] for r in records if r["subject"].startswith("model")]
    return said if len(said) >= count else []


def code(daemon: SlotDaemon) -> HealthCode:
    registers = daemon.registers() or [0] * 8
    return HealthCode(registers[CODE] << 16 | registers[CODE + 1])
