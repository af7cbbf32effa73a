"""`gasedge drill` where everybody must show who they are, and where the first broker is away."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.plant.mqtt_brokers import mosquitto
from tests.plant.test_drill_command import answers, drill, running

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

PAGE = """\
[plant.page]
port = {page}
tls = true
users = "users"
"""
OPCUA = """\
[plant.opcua]
port = {opcua}
users = "users"
state_dir = "opcua-state"
{trusted}
"""
SECOND_BROKER = """\
[plant.sparkplug]
brokers = ["mqtt://127.0.0.1:{broker}", "{second}"]
group = "yard"
keepalive_s = 2

[plant.events]
brokers = ["mqtt://127.0.0.1:{broker}", "{second}"]
site = "yard"
keepalive_s = 2
"""


def shown(said: str) -> dict[str, dict]:
    return {each["interface"]: each for each in json.loads(said)["interfaces"]}


@pytest.mark.slow
def test_a_named_user_drills_over_encrypted_opcua_and_a_page_with_log_in(
    plant, tmp_path, monkeypatch
):
    pytest.importorskip("asyncua")
    plant.users_file(tmp_path)
    monkeypatch.setenv("GASEDGE_PASSWORD", plant.password)
    with running(plant, tmp_path, PAGE, OPCUA.replace("{trusted}", "")) as (config, ports):
        plant.until(lambda: answers(ports["opcua"]) and answers(ports["page"]), within_s=60)
        code, said = drill(config, "--json", "--user", plant.user)
        found = shown(said)
        assert code == 0, said
        assert set(found) == {"modbus", "opcua", "page"}
        assert all(each["marked_as_test"] for each in found.values())

        # nobody's password is written where others could read it
        left = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert left
        assert not any(plant.password.encode() in path.read_bytes() for path in left)

        monkeypatch.setenv("GASEDGE_PASSWORD", "a wrong password")
        code, said = drill(config, "--json", "--seconds", "8", "--user", plant.user)
        found = shown(said)
        assert code == 3
        assert found["modbus"]["marked_as_test"]
        for name, why in (("opcua", "BadUserAccessDenied"), ("page", "/login: 403 wrong name")):
            assert found[name]["after_ms"] is None
            assert why.lower() in found[name]["fault"].lower(), found[name]

        code, said = drill(config, "--json", "--seconds", "8")
        found = shown(said)
        assert code == 3
        assert "give --user" in found["opcua"]["fault"]
        assert found["page"]["after_ms"] is None


@pytest.mark.slow
def test_the_drills_certificate_is_refused_until_it_is_enrolled(plant, tmp_path, monkeypatch):
    pytest.importorskip("asyncua")
    plant.users_file(tmp_path)
    trusted = tmp_path / "trusted"
    trusted.mkdir(mode=0o700)
    monkeypatch.setenv("GASEDGE_PASSWORD", plant.password)
    table = OPCUA.replace("{trusted}", f'trusted = "{trusted}"')
    with running(plant, tmp_path, table) as (config, ports):
        plant.until(lambda: answers(ports["opcua"]), within_s=60)
        code, said = drill(config, "--json", "--seconds", "8", "--user", plant.user)
        assert code == 3
        assert shown(said)["opcua"]["after_ms"] is None
        enrol(tmp_path / "state" / "drill" / "opcua.der", trusted)
        code, said = drill(config, "--json", "--user", plant.user)
        assert code == 0, said
        assert shown(said)["opcua"]["marked_as_test"]


def enrol(certificate, trusted):
    words = (sys.executable, "-m", "gasedge", "trust", "add", trusted, certificate, "--yes")
    subprocess.run(words, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="needs mosquitto (apt)")
def test_with_the_first_broker_away_the_drill_is_followed_at_the_second(plant, tmp_path):
    pytest.importorskip("paho.mqtt.client")
    with mosquitto(tmp_path / "broker") as second:
        tables = SECOND_BROKER.replace("{second}", second.url)
        with running(plant, tmp_path, tables) as (config, _):
            code, said = drill(config, "--json")
    assert code == 0, said
    found = shown(said)
    assert found["sparkplug"]["marked_as_test"]
    assert found["events"]["marked_as_test"]
