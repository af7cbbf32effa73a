"""Alarms of a real plant process outlive it, and Modbus shows them from the first answer on."""

from __future__ import annotations

import signal
import socket
import struct

import pytest

from contract.audit import Chain
from contract.tags import LeakState, Quality
from edge_runtime.alarms.read_journal import read_records
from tests.plant.conftest import running_gateway


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


def served(tmp_path, state_dir, name):
    return running_gateway(tmp_path / name, cameras=("north",), top=f'state_dir = "{state_dir}"\n')


def alarm_state(gateway) -> tuple[int, int]:
    """`Leak/State` and `Leak/AlarmState` over Modbus."""
    with socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), 5) as line:
        line.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 2, 2))
        return struct.unpack(">HH", line.recv(64)[9:13])


def test_an_alarm_outlives_kill_9_of_the_plant_process_and_stands_while_blind(
    plant, tmp_path, state_dir
):
    with served(tmp_path, state_dir, "first") as gateway, plant.speak(gateway):
        plant.until(lambda: alarm_state(gateway) == (LeakState.LEAK, 1))
        gateway.send_signal(signal.SIGKILL)
        gateway.process.wait(10)
        gateway.process = gateway.start("pass")  # what the fixture may find ended
        gateway.process.wait(10)
    with served(tmp_path, state_dir, "second") as gateway:
        # nobody has spoken to this process yet: the leak is unknown, its alarm is not
        assert alarm_state(gateway) == (LeakState.UNKNOWN, 1)
        with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
            plant.until(lambda: alarm_state(gateway) == (LeakState.NONE, 3))
    records = list(read_records(state_dir))
    chain = Chain()
    for record in records:
        chain.take(record)
    assert chain.fault == ""
    told = [record.new for record in records if record.subject == "north.leak"]
    assert told == ["UNACK, active", "RTN_UNACK"]
    started = [each.new for each in records if each.subject == "plant process"]
    assert [each.split()[0].strip(",") for each in started] == ["started", "started", "ended"]


def test_a_blind_camera_keeps_its_leak_alarm_at_every_interface(plant, tmp_path, state_dir):
    with served(tmp_path, state_dir, "gateway") as gateway:
        with plant.speak(gateway):
            plant.until(lambda: alarm_state(gateway) == (LeakState.LEAK, 1))
        blind = {"quality": Quality.BAD, "Leak__State": 255}
        with plant.speak(gateway, lambda: plant.snapshot(**blind)):
            plant.until(lambda: alarm_state(gateway) == (LeakState.UNKNOWN, 1))


def test_without_a_state_dir_the_log_says_what_that_means(plant, tmp_path):
    with running_gateway(tmp_path / "gateway") as gateway:
        assert gateway.said("set state_dir in [plant]")
