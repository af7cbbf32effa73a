"""`gasedge drill` against a running daemon, as its operator holds one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.errors import ConfigError, InputError
from contract.tags import HealthCode
from edge_runtime.config import load_daemon_config
from edge_runtime.drill_door import door_path
from gasedge.commands.drill import command
from gasedge.drill_report import hold_drill
from gasedge.drill_watchers import Login
from tests.plant.test_modbus_tls import make

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

STARTER = Path(__file__).resolve().parents[2] / "gasedge" / "starter" / "starter.gasedge"
ONE_CAMERA = f"""\
[model]
bundle = "{STARTER}"
precision = "int8"
threads = 1

[trust]
keys = ["{STARTER.with_suffix(".pub")}"]

[[camera]]
name = "north"
source = "sim:seed=3&plume=false&distractors=false&width=160&height=120&fps=8"
"""
CONFIG = f"""{ONE_CAMERA}
[leak]
votes = 2
window = 3
on_delay_s = 0.2
area_on = 0.06
area_off = 0.03

[plant]
state_dir = "state"

[plant.modbus]
port = {{modbus}}
"""
PAGE = "[plant.page]\nport = {page}\n"
OPCUA = '[plant.opcua]\nport = {opcua}\nsecurity = "none"\n'
MQTT = """\
[plant.sparkplug]
brokers = ["mqtt://127.0.0.1:{broker}"]
group = "yard"

[plant.events]
brokers = ["mqtt://127.0.0.1:{broker}"]
site = "yard"
"""


def asked(port, words=8):
    """Input registers from 0 on; None while nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(bytes.fromhex("0001 0000 0006 01 04 0000") + bytes([0, words]))
            data = connection.recv(300)
            return [int.from_bytes(data[9 + 2 * n : 11 + 2 * n], "big") for n in range(words)]
    except OSError:
        return None


@contextlib.contextmanager
def running(plant, folder, *tables):
    """A daemon with more tables whose camera is watched: its configuration and ports."""
    ports = {name: plant.free_port() for name in ("modbus", "tls", "page", "opcua", "broker")}
    config = folder / "daemon.toml"
    config.write_text("".join([CONFIG, *tables]).format(**ports))
    with contextlib.ExitStack() as cleanup:
        if MQTT in tables:
            own = folder / "mosquitto.conf"
            own.write_text(f"listener {ports['broker']} 127.0.0.1\nallow_anonymous true\n")
            cleanup.enter_context(started("mosquitto", "-c", own))
        run = ("-m", "gasedge", "run", config)
        cleanup.enter_context(started(sys.executable, *run, log=folder / "log"))
        plant.until(lambda: (asked(ports["modbus"]) or [0] * 6)[5] == 1, within_s=60)
        for name, table in {"page": PAGE, "opcua": OPCUA}.items():
            if table in tables:
                plant.until(lambda each=name: answers(ports[each]), within_s=60)
        yield config, ports


@contextlib.contextmanager
def started(*words, log=Path(os.devnull)):
    with log.open("wb") as sink:
        process = subprocess.Popen(words, stderr=sink, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def daemon(plant, tmp_path_factory):
    with running(plant, tmp_path_factory.mktemp("daemon"), PAGE) as served:
        yield served


MODBUS_TLS = """\
[plant.modbus.tls]
port = {tls}
certificate = "keys/device.pem"
key = "keys/device-key.pem"
trusted = "trusted"
"""


@pytest.mark.slow
def test_modbus_over_tls_is_followed_once_the_drills_certificate_is_trusted(plant, tmp_path):
    make(tmp_path / "keys", "device")
    (tmp_path / "trusted").mkdir()
    shutil.copy(tmp_path / "keys" / "device.pem", tmp_path / "trusted")  # anybody but the drill
    with running(plant, tmp_path, MODBUS_TLS) as (config, _):
        code, said = drill(config, "--json", "--seconds", "8")
        found = {each["interface"]: each for each in json.loads(said)["interfaces"]}
        assert (code, found["modbus-tls"]["after_ms"]) == (3, None), said
        assert "certificate" in found["modbus-tls"]["fault"]
        assert found["modbus"]["marked_as_test"]
        shutil.copy(tmp_path / "state" / "drill" / "opcua.der", tmp_path / "trusted")
        code, said = drill(config, "--json")
    assert code == 0, said
    found = {each["interface"]: each for each in json.loads(said)["interfaces"]}
    assert found["modbus-tls"]["marked_as_test"]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def drill(config, *options):
    done = CliRunner().invoke(
        command, [str(config), "--camera", "north", *options], standalone_mode=False
    )
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def test_a_drill_is_shown_as_a_test_and_leaves_nothing_behind(plant, daemon):
    config, ports = daemon
    code, said = drill(config, "--json")
    report = json.loads(said)
    assert code == 0, said
    assert report["passed"]
    assert 0 < report["leak_after_s"] < 20
    found = {each["interface"]: each for each in report["interfaces"]}
    assert set(found) == {"modbus", "page"}
    assert all(each["marked_as_test"] for each in found.values())
    assert all(0 <= each["after_ms"] < 3000 for each in found.values())

    def over():
        words = asked(ports["modbus"])
        return words[2] == 0 and not words[6] << 16 & HealthCode.DRILL

    plant.until(over)
    journal = config.parent / "state" / "plant.sqlite"
    words = ("audit", "show", str(journal), "--json", "--last", "100")
    told = subprocess.run([sys.executable, "-m", "gasedge", *words], capture_output=True, text=True)
    written = [json.loads(line) for line in told.stdout.splitlines()]
    drills = [each["new"] for each in written if each["origin"].startswith("gasedge drill")]
    assert drills == ["drill", "no drill"], told.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="needs mosquitto (apt)")
def test_every_configured_interface_shows_it(plant, tmp_path):
    pytest.importorskip("paho.mqtt.client")
    with running(plant, tmp_path, PAGE, OPCUA, MQTT) as (config, _):
        code, said = drill(config)
    assert code == 0, said
    lines = said.splitlines()
    shown = [line.split()[0] for line in lines[2:]]
    assert shown == ["modbus", "opcua", "page", "sparkplug", "events"]
    assert all(line.endswith("yes") for line in lines[2:]), said


def test_an_interface_that_cannot_be_reached_fails_the_drill(plant, daemon):
    config, ports = daemon
    other = config.with_name("other.toml")
    wrong = plant.free_port()
    other.write_text(config.read_text().replace(f"port = {ports['modbus']}", f"port = {wrong}"))
    code, said = drill(other, "--seconds", "4")
    assert code == 3
    assert "never" in said
    assert "refused" in said


def test_a_daemon_that_hangs_does_not_hold_the_drill_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("gasedge.drill_report._SLACK_S", 0.2)
    config = tmp_path / "daemon.toml"
    config.write_text(CONFIG.format(modbus=1))
    door = door_path(tmp_path / "state")
    door.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(door))
        hung.listen()
        outcome = hold_drill(load_daemon_config(config), "north", 0.2, Login())
    assert not outcome.is_passed
    assert outcome.ended == "the daemon did not say that it ended"


def test_without_a_daemon_a_state_folder_or_such_a_camera_it_is_one_clear_line(tmp_path):
    config = tmp_path / "daemon.toml"
    config.write_text(CONFIG.format(modbus=1))
    loaded = load_daemon_config(config)
    with pytest.raises(InputError, match=r"no daemon answers there .*gasedge run"):
        hold_drill(loaded, "north", 5, Login())
    with pytest.raises(ConfigError, match="no camera west; there is north"):
        hold_drill(loaded, "west", 5, Login())
    config.write_text(config.read_text().replace('state_dir = "state"', ""))
    with pytest.raises(ConfigError, match="state_dir"):
        hold_drill(load_daemon_config(config), "north", 5, Login())
