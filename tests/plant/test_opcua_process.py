"""OPC UA in a process of its own: whatever becomes of it, alarms and the other interfaces go on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import subprocess
import time

import pytest

from contract.alarms import Outcome
from contract.roles import Role
from edge_runtime.beat import SERVING, STARTING
from edge_runtime.child_process import python_command
from edge_runtime.config import load_daemon_config
from edge_runtime.plant.users import Users, add_user
from edge_runtime.supervisor import _beside

pytest.importorskip("asyncua")

from asyncua import Client, ua

from edge_runtime.plant import opcua_methods
from edge_runtime.plant.opcua_guard import Doorkeeper
from tests.plant.opcua_client import encrypted, make_keys

STATE = "ns=2;s=north.Leak.State"
OPEN = 'security = "none"\n'


@pytest.fixture
def gateway(plant, tmp_path):
    with plant.run(tmp_path / "g", serve=("opcua", "modbus"), extra=OPEN) as running:
        yield running


def registers(gateway, first, count):
    with socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=10) as modbus:
        modbus.sendall(
            bytes.fromhex("0001 0000 0006 01 04")
            + first.to_bytes(2, "big")
            + count.to_bytes(2, "big")
        )
        return modbus.recv(300)[9:]


def leak_and_alarm(gateway):
    """Leak/State and Leak/AlarmState as Modbus has them."""
    read = registers(gateway, 2, 2)
    return read[1], read[3]


async def read(gateway, *nodes):
    client = Client(f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge", timeout=20)
    async with client:
        return [
            await client.get_node(each).read_data_value(raise_on_bad_status=False) for each in nodes
        ]


def status_and_value(gateway, node=STATE):
    (found,) = asyncio.run(read(gateway, node))
    return found.StatusCode.name, found.Value.Value if found.Value is not None else None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_stopped_opcua_process_touches_neither_alarms_nor_modbus(plant, gateway, number):
    with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
        plant.until(lambda: leak_and_alarm(gateway) == (0, 0))
        os.kill(gateway.opcua.pid, number)
        time.sleep(0.2)
    with plant.speak(gateway, plant.snapshot):
        plant.until(lambda: leak_and_alarm(gateway) == (2, 1), within_s=2)
        took = []
        for _ in range(50):
            began = time.perf_counter()
            registers(gateway, 0, 125)
            took.append(time.perf_counter() - began)
        assert statistics.median(took) < 0.1
        if number == signal.SIGSTOP:
            os.kill(gateway.opcua.pid, signal.SIGCONT)
            plant.until(lambda: status_and_value(gateway) == ("Good", 2), within_s=20)
        else:
            gateway.opcua.wait(10)
            gateway.opcua = None


def test_without_a_gateway_every_value_turns_bad_by_itself_and_good_again_with_a_new_one(
    plant, gateway
):
    alarm = "ns=2;s=north.Leak.AlarmState"
    with plant.speak(gateway, plant.snapshot):
        plant.until(lambda: status_and_value(gateway) == ("Good", 2))
        plant.until(lambda: status_and_value(gateway, alarm) == ("Good", 1))
        gateway.process.kill()
        gateway.process.wait()
        plant.until(lambda: status_and_value(gateway)[0] == "BadNoCommunication")
        plant.until(lambda: status_and_value(gateway, alarm)[0] == "BadNoCommunication")
        assert status_and_value(gateway, "ns=2;s=north.Health.DataGood") == ("Good", False)
        gateway.start_gateway()
        plant.until(lambda: status_and_value(gateway) == ("Good", 2), within_s=30)
        plant.until(lambda: status_and_value(gateway, alarm)[0] == "Good")


def test_clients_that_ask_without_pause_slow_neither_modbus_nor_alarms(plant, gateway):
    """Four clients read the whole camera as fast as they are answered."""

    async def flood():
        url = f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge"
        clients = [Client(url, timeout=60) for _ in range(4)]
        for each in clients:
            await each.connect()
        names = [ua.NodeId(f"north.Zone.State{n % 8 + 1}", 2) for n in range(200)]
        asked = [0]

        async def ask(client):
            while not done.is_set():
                await client.read_values([client.get_node(each) for each in names])
                asked[0] += 1

        done = asyncio.Event()
        running = [asyncio.create_task(ask(each)) for each in clients]
        await asyncio.sleep(1.0)
        took = await asyncio.to_thread(times, 40)
        leak = await asyncio.to_thread(rise)
        done.set()
        await asyncio.gather(*running)
        for each in clients:
            await each.disconnect()
        return took, leak, asked[0]

    def times(count):
        took = []
        for _ in range(count):
            began = time.perf_counter()
            registers(gateway, 0, 125)
            took.append(time.perf_counter() - began)
        return took

    def rise():
        began = time.perf_counter()
        with plant.speak(gateway, plant.snapshot):
            plant.until(lambda: leak_and_alarm(gateway) == (2, 1), within_s=10)
        return time.perf_counter() - began

    with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
        plant.until(lambda: leak_and_alarm(gateway) == (0, 0))
    took, leak, asked = asyncio.run(flood())
    assert asked > 4, "nobody flooded anything"
    assert statistics.median(took) < 0.2
    assert leak < 3.0


def test_the_daemon_has_an_opcua_process_only_where_the_file_asks_for_one(plant, tmp_path):
    """As the supervisor starts it: it listens with no gateway there, says bad and that it lives."""
    config, port = tmp_path / "daemon.toml", plant.free_port()
    text = '[model]\nbundle = "starter"\n[[camera]]\nname = "north"\nsource = "sim:seed=1"\n'
    config.write_text(text)
    assert _beside(load_daemon_config(config)) == []
    config.write_text(f"{text}[plant.opcua]\nport = {port}\n{OPEN}")
    settings = load_daemon_config(config)
    assert _beside(settings) == ["opcua"]
    kept = tmp_path / "settings.json"
    kept.write_text(settings.model_dump_json())
    command = python_command("edge_runtime.daemon", "opcua", str(kept), "--folder", str(tmp_path))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout.read(1) in (STARTING, SERVING)
        deadline = time.monotonic() + 60
        while b"OPC UA on" not in (line := process.stderr.readline()):
            assert line
            assert time.monotonic() < deadline
        plant.until(lambda: process.stdout.read(1) == SERVING)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(
            19, os.getpriority(os.PRIO_PROCESS, 0) + 10
        )
        process.ports = {"opcua": port}
        assert status_and_value(process) == ("BadNoCommunication", None)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_log_ins_refused_or_not_stand_in_the_audit_journal_with_who_and_from_where(plant, tmp_path):
    from edge_runtime.alarms.journal import Journal
    from edge_runtime.database import FILE, Database

    kept = tmp_path / "kept"
    users = tmp_path / "users"
    add_user(users, "operator1", plant.password, Role.OPERATOR)
    top = f'state_dir = "{kept}"\n'
    extra = f'users = "{users}"\nstate_dir = "{tmp_path / "state"}"\n'
    with plant.run(tmp_path / "g", serve=("opcua",), extra=extra, top=top) as gateway:
        make_keys(tmp_path)
        asyncio.run(log_in(gateway, tmp_path, "operator1", plant.password))
        with pytest.raises(ua.UaError):
            asyncio.run(log_in(gateway, tmp_path, "operator1", "a wrong password"))
        with pytest.raises(ua.UaError):
            asyncio.run(log_in(gateway, tmp_path, "stranger1", plant.password))
    with Database(kept / FILE) as database:
        told = [each for each in Journal(database).after(0, 999)[1] if each.category == "access"]
    assert [(each.who, each.role, each.result == "done") for each in told] == [
        ("operator1", "operator", True),
        ("operator1", "", False),
        ("stranger1", "", False),
    ]
    assert {each.origin for each in told} == {"opcua 127.0.0.1"}
    assert plant.password not in str(told)


def test_a_log_in_that_an_unusable_user_file_prevents_is_recorded_too(tmp_path):
    users, told = tmp_path / "users", []
    add_user(users, "operator1", "long enough 1", Role.OPERATOR)
    door = Doorkeeper(Users(users), None, note=told.append)
    users.chmod(0o644)
    assert door.get_user(None, "operator1", "long enough 1", b"certificate") is None
    assert [(each.who, each.result) for each in told] == [
        ("operator1", "the user file cannot be used")
    ]


def test_every_answer_of_the_desk_has_a_status():
    """`NOTHING_TO_DO` has one of each method's own."""
    assert {*opcua_methods._STATUS, Outcome.NOTHING_TO_DO} == {*Outcome}
    assert opcua_methods._STATUS[Outcome.UNANSWERED] == ua.StatusCodes.BadTimeout


async def log_in(gateway, folder, user, password):
    async with await encrypted(gateway, folder, user, password):
        pass


def test_a_certificate_that_ends_soon_asks_for_maintenance(plant, tmp_path, monkeypatch):
    """The device's own certificate, made with ten days to live."""
    from edge_runtime.plant import device_certificate

    monkeypatch.setattr(device_certificate, "_DAYS", 10)
    state, users = tmp_path / "state", plant.users_file(tmp_path)
    device_certificate.device_certificate(state, "urn:gasedge:device:T1")
    extra = f'users = "{users}"\nstate_dir = "{state}"\n'
    serve = ("opcua", "modbus")
    with plant.run(tmp_path / "g", serve=serve, extra=extra) as gateway:
        plant.until(lambda: gateway.said("certificate ends in 9 days"))
        with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
            plant.until(lambda: registers(gateway, 4, 1)[1] == 4)  # Health/NE107


def test_a_new_certificate_is_taken_by_starting_again(tmp_path, monkeypatch):
    from edge_runtime.plant import opcua_process
    from edge_runtime.plant.config import OpcUaConfig
    from edge_runtime.plant.device_certificate import device_certificate, renew_certificate

    monkeypatch.setattr(opcua_process, "_CERTIFICATE_S", 0.01)
    device_certificate(tmp_path, "urn:gasedge:device:T1")
    own = OpcUaConfig(users=tmp_path / "users", state_dir=tmp_path)

    async def scene():
        watching = asyncio.create_task(opcua_process._certificate(own, Silent()))
        await asyncio.sleep(0.1)
        assert not watching.done()
        await asyncio.to_thread(renew_certificate, tmp_path)
        await asyncio.wait_for(watching, 10)

    asyncio.run(scene())


class Silent:
    """A relay that leads nowhere."""

    def maintain(self, reason, text):
        assert (reason, text) == ("opcua certificate", None)
