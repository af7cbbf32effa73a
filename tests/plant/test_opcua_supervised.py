"""OPC UA under the real supervisor: killed or stopped, it comes back with every condition."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.tags import HealthCode, Quality, tag
from tests.plant.test_drill_command import ONE_CAMERA, asked

pytest.importorskip("asyncua")
pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

from asyncua import Client, ua

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIG = f"""{ONE_CAMERA}
[[camera]]
name = "gone"
source = "rtsp://127.0.0.1:1/nothing"

[alarm]
starting_s = 0

[alarm.failure]
on_delay_s = 0

[plant]
state_dir = "state"

[plant.modbus]
port = {{modbus}}

[plant.opcua]
port = {{opcua}}
security = "none"
"""
# a stopped process is killed after this many seconds instead of fifteen
SUPERVISE = """
import logging, sys
from pathlib import Path
from edge_runtime import supervisor
logging.basicConfig(level=logging.INFO)
supervisor._SILENT_S = 4.0
sys.exit(supervisor.supervise(Path(sys.argv[1])))
"""
QUALITY = tag("Health/Quality").register
CODE = tag("Health/Code").register


@pytest.fixture(scope="module")
def daemon(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("daemon")
    ports = {"modbus": plant.free_port(), "opcua": plant.free_port()}
    config = folder / "daemon.toml"
    config.write_text(CONFIG.format(**ports))
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(config)], stderr=sink)
    try:
        plant.until(
            lambda: (asked(ports["modbus"], 12) or [9] * 12)[QUALITY] == Quality.UNCERTAIN,
            within_s=90,
        )
        plant.until(lambda: alarm_of_gone(ports), within_s=60)
        yield ports, process.pid
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0, (folder / "log").read_text()[-3000:]


def opcua_process(supervisor: int) -> int | None:
    """The child that serves OPC UA."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for child in map(int, children):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"opcua" in words:
            return child
    return None


def alarm_of_gone(ports) -> dict | None:
    """What a new client is told by a refresh of the failure alarm; None without an answer."""

    class Keeps:
        def __init__(self) -> None:
            self.events: list = []

        def event_notification(self, event) -> None:
            self.events.append(event)

    async def refreshed():
        keeps = Keeps()
        async with Client(f"opc.tcp://127.0.0.1:{ports['opcua']}/gasedge", timeout=10) as client:
            subscription = await client.create_subscription(50, keeps)
            server = client.nodes.server
            await subscription.subscribe_alarms_and_conditions(
                server, ua.ObjectIds.AlarmConditionType
            )
            await client.get_node(ua.ObjectIds.ConditionType).call_method(
                ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                ua.Variant(subscription.subscription_id, ua.VariantType.UInt32),
            )
            for _ in range(200):
                found = [
                    each.get_event_props_as_fields_dict()
                    for each in keeps.events
                    if getattr(each, "SourceName", None) == "gone"
                ]
                if found:
                    return {name: value.Value for name, value in found[-1].items()}
                await asyncio.sleep(0.05)
        return None

    try:
        return asyncio.run(refreshed())
    except (OSError, asyncio.TimeoutError, ua.UaError):
        return None


class Looks:
    """Modbus asked five times a second by a thread, as a SCADA polls."""

    def __init__(self, port: int) -> None:
        self.qualities: list[int | None] = []  # None: no answer
        self._port, self._end = port, threading.Event()
        self._thread = threading.Thread(target=self._run, name="test-modbus")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.2):
            words = asked(self._port, 12)
            self.qualities.append(None if words is None else words[QUALITY])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_opcua_comes_back_with_its_conditions_and_nobody_else_notices(plant, daemon, number):
    ports, supervisor = daemon

    def settled():  # while the daemon starts, its message tells other reasons
        told = alarm_of_gone(ports)
        return told if told and told["Message"].Text == "No picture arrives" else None

    before = plant.until(settled, within_s=60)
    assert before["Retain"] is True
    assert before["ActiveState/Id"] is True
    old = opcua_process(supervisor)
    others = {each for each in processes(supervisor) if each != old}
    with Looks(ports["modbus"]) as looks:
        os.kill(old, number)
        plant.until(lambda: opcua_process(supervisor) not in (None, old), within_s=60)
        after = plant.until(lambda: alarm_of_gone(ports), within_s=60)
    for name in ("ConditionName", "ActiveState/Id", "AckedState/Id", "Retain", "Message"):
        assert after[name] == before[name], name
    assert others <= set(processes(supervisor)), "another process was started anew"
    assert len(looks.qualities) > 5
    assert set(looks.qualities) <= {Quality.UNCERTAIN, Quality.STALE}  # late on a busy machine


# a process that never served is missed after this many seconds instead of two minutes
SOON_MISSED = SUPERVISE.replace("supervisor._SILENT_S = 4.0", "supervisor._FIRST_WORD_S = 20.0")


@pytest.mark.slow
def test_an_opcua_process_that_never_comes_keeps_no_camera_from_being_watched(plant, tmp_path):
    config, notified = tmp_path / "daemon.toml", tmp_path / "notify"
    modbus = plant.free_port()
    with (
        socket.socket() as taken,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        (tmp_path / "log").open("wb") as sink,
    ):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        systemd.bind(str(notified))
        systemd.settimeout(60)
        ports = {"modbus": modbus, "opcua": taken.getsockname()[1]}
        config.write_text(CONFIG.format(**ports))
        daemon = subprocess.Popen(
            [sys.executable, "-c", SOON_MISSED, str(config)],
            stderr=sink,
            env={**os.environ, "NOTIFY_SOCKET": str(notified), "WATCHDOG_USEC": "20000000"},
        )
        try:
            words: list[str] = []
            while not {"READY=1", "WATCHDOG=1"} <= set(words):
                words += systemd.recv(4096).decode().split("\n")

            def code() -> int:
                high, low = (asked(modbus, 12) or [0] * 12)[CODE : CODE + 2]
                return high << 16 | low

            plant.until(lambda: HealthCode.DEVICE in HealthCode(code()), within_s=90)
            watched = Quality.UNCERTAIN  # or for a moment not, on a busy machine
            plant.until(lambda: (asked(modbus, 12) or [9] * 12)[QUALITY] == watched, within_s=30)
            assert daemon.poll() is None
        finally:
            daemon.terminate()
            left = daemon.wait(30)
    said = (tmp_path / "log").read_text()
    assert left == 0, said[-3000:]
    assert "maintenance: opcua: does not serve" in said


def processes(supervisor: int) -> list[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(each) for each in children]
