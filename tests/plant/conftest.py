"""A real gateway in its own process, with a real link to it, and free ports on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.roles import Role
from contract.tags import ZONES, CameraSnapshot, Quality
from edge_runtime.plant.link import PlantLink
from edge_runtime.plant.users import add_user
from tests.plant.waiting import free_port, until

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "scada", "correct horse battery"
START = """
import logging, sys
from pathlib import Path
from contract.config import load_config
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.gateway import run_gateway
logging.basicConfig(level=logging.INFO)
run_gateway(load_config(Path(sys.argv[1]), PlantConfig), sys.argv[3:], Path(sys.argv[2]))
"""
START_OPCUA = """
import logging, sys
from pathlib import Path
from contract.config import load_config
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.opcua_process import run_opcua
logging.basicConfig(level=logging.INFO)
config = load_config(Path(sys.argv[1]), PlantConfig)
run_opcua(config, sys.argv[3:], Path(sys.argv[2]).with_name("relay.sock"), longest_s={})
"""


@dataclass
class Gateway:
    folder: Path
    socket_path: Path
    ports: dict[str, int]
    process: subprocess.Popen
    log: Path
    opcua: subprocess.Popen | None = None  # its own process, as the daemon starts it
    arguments: tuple[str, ...] = ()
    mark: int = 0

    def forget(self) -> None:
        """Look only at what the gateway logs from here on."""
        self.mark = len(self.log.read_text())

    def said(self, what: str) -> bool:
        return what in self.log.read_text()[self.mark :]

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def start_gateway(self) -> None:
        self.forget()
        self.process = self.start(START, *self.arguments)
        comes_up(self, self.process, "gateway serves")

    def start(self, code: str, *arguments: str) -> subprocess.Popen:
        with self.log.open("ab") as sink:
            return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=sink)


@contextlib.contextmanager
def running_gateway(
    folder: Path, *, cameras=("north", "south"), serve=("modbus",), extra="", more=None, top=""
):
    """Run a gateway; `serve` names what listens, `extra` is more TOML for [plant.opcua].

    `more` is further TOML by the table's name, `top` what stands before all tables.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    ports = {name: free_port() for name in serve}
    text = 'serial = "T1"\n' + top
    for name, port in ports.items():
        text += f"[{name}]\nport = {port}\n" + (more or {}).get(name, "")
        if name == "opcua":
            text += extra or f'users = "{users_file(folder)}"\nstate_dir = "{folder / "state"}"\n'
    config = folder / "plant.toml"
    config.write_text(text)
    socket_path = folder / "link" / "plant.sock"
    log = folder / "gateway.log"
    log.write_bytes(b"")
    gateway = Gateway(folder, socket_path, ports, None, log)
    arguments = (str(config), str(socket_path), *cameras)
    gateway.arguments = arguments
    try:
        gateway.start_gateway()
        if "opcua" in serve:
            gateway.opcua = gateway.start(START_OPCUA, *arguments)
            comes_up(gateway, gateway.opcua, "OPC UA on opc.tcp")
        yield gateway
    finally:
        ended = [end(each) for each in (gateway.opcua, gateway.process) if each is not None]
        assert ended == [0] * len(ended), log.read_text()


def comes_up(gateway: Gateway, process: subprocess.Popen, word: str) -> None:
    until(lambda: gateway.said(word) or process.poll() is not None, within_s=60)
    assert process.poll() is None, gateway.log.read_text()


def end(process: subprocess.Popen) -> int | None:
    """End a process as its parent would; the answer is its exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def users_file(folder: Path) -> Path:
    path = folder / "users"
    if not path.exists():
        add_user(path, USER, PASSWORD, Role.OPERATOR)
        add_user(path, "viewer", PASSWORD)
    return path


def snapshot(camera="north", quality=Quality.GOOD, heartbeat=7, source_time_ns=None, **values):
    """A snapshot as the frames process sends it; `Leak__Score=0.5` sets Leak/Score."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return CameraSnapshot(
        camera=camera,
        unit_id=1,
        quality=quality,
        heartbeat=heartbeat,
        source_time_ns=time.time_ns() if source_time_ns is None else source_time_ns,
        values={
            "Leak/State": 2,
            "Leak/Score": 0.8125,
            "Leak/AreaFraction": 0.0625,
            "Leak/AreaPx": 70000,
            "Leak/Count": 3,
            "Leak/DurationS": 65,
            "Leak/CentroidX": 0.25,
            "Leak/CentroidY": 0.75,
            "Leak/BBox": (10, 20, 300, 400),
            "Leak/OnsetTime": 1_700_000_000_123_000_000,
            "Leak/Id": 70001,
            "Leak/Still": False,
            "Leak/Disturbed": False,
            "Leak/Growth": -0.0009765625,
            "Leak/SourceX": 0.125,
            "Leak/SourceY": 0.5,
            "Leak/DriftDeg": 90.5,
            "Leak/Zone": "flange",
            **{f"Zone/State{number}": number % 3 for number in range(1, ZONES + 1)},
            **{f"Zone/AreaFraction{number}": number / 16 for number in range(1, ZONES + 1)},
            **{f"Zone/Name{number}": f"zone-{number}" for number in range(1, ZONES + 1)},
            "Frame/Seq": 2**40 + 5,
            "Frame/CaptureTime": 1_700_000_065_456_000_000,
            "Frame/Fps": 12.5,
            "Frame/LatencyP99Ms": 41.0,
            "Frame/Dropped": 2**33 + 1,
            "Frame/Every": 2,
            "Health/NE107": 0,
            "Health/Code": 0,
            "Camera/Connected": True,
            "Camera/Frozen": False,
            "Camera/Obscured": False,
            "Model/Id": "unet-test",
            "Model/Sha256": "deadbeef" + "01" * 28,
            "Model/Backend": "openvino int8",
            "Sw/Version": "0.1.0",
            "Mask/Data": bytes(range(200)),
            "Drift/Disagreement": 0.0078125,
            "Drift/GasIoU": 0.96875,
            "Drift/PictureDistance": 0.25,
            "Drift/Compared": 70002,
            "Drift/Skipped": 70003,
            "Verify/LastTime": 1_700_000_060_789_000_000,
            "Verify/LastResult": 0,
            **named,
        },
    )


@contextlib.contextmanager
def speaking(gateway: Gateway, make=snapshot, *, period_s: float = 0.05):
    """Publish `make()` again and again in a thread of the test, as the frames process does."""
    import threading

    stop = threading.Event()
    with PlantLink(gateway.socket_path) as link:

        def speak():
            while not stop.wait(period_s):
                link.publish(make())

        thread = threading.Thread(target=speak, name="test-speaker")
        gateway.forget()
        thread.start()
        try:
            yield link
        finally:
            stop.set()
            thread.join()


@pytest.fixture(scope="session")
def plant():
    """The functions above, for tests that cannot import a conftest."""

    class Plant:
        run = staticmethod(running_gateway)
        speak = staticmethod(speaking)
        snapshot = staticmethod(snapshot)
        until = staticmethod(until)
        free_port = staticmethod(free_port)
        users_file = staticmethod(users_file)
        user = USER
        password = PASSWORD

    return Plant
