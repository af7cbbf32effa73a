"""What goes over the wire, dissected by tshark: neither end of the judgement is ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

import pytest

from tests.plant.mqtt_brokers import Listener, mosquitto
from tests.plant.node_opcua import NODE, Client

pytest.importorskip("asyncua")
pytest.importorskip("paho.mqtt.client")

DISSECTORS = {"modbus": "mbtcp", "opcua": "opcua", "mqtt": "mqtt"}
MODBUS = ("mbtcp.trans_id", "modbus.func_code", "modbus.exception_code")
SPARKPLUG = (
    *("sparkplugb.messagetype", "sparkplugb.groupid"),
    *("sparkplugb.edgenodeid", "sparkplugb.deviceid"),
)

pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark (apt)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may capture on loopback"),
]


@contextlib.contextmanager
def captured(plant, path):
    """Record what passes loopback."""
    log = path.with_suffix(".log")
    with log.open("wb") as sink:
        words = ["dumpcap", "-q", "-i", "lo", "-f", "tcp", "-w", path]
        process = subprocess.Popen(words, stderr=sink, stdout=sink)
    try:
        plant.until(lambda: path.exists() or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip(f"capturing is not possible here: {log.read_text().strip()[-200:]}")
        yield
    finally:
        time.sleep(1.0)  # it takes packets from the kernel in batches
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def dissected(plant, tmp_path_factory):
    """Gives fields of all packets that a filter lets through: one run of every protocol."""
    folder = tmp_path_factory.mktemp("wire")
    path = folder / "all.pcapng"
    with mosquitto(folder / "broker") as broker, captured(plant, path):
        top = (
            f'state_dir = "{folder / "state"}"\n'
            f'[sparkplug]\ngroup = "site"\nbrokers = ["{broker.url}"]\n'
        )
        plain = 'security = "none"\n'
        with Listener(broker.port) as host:
            with (
                plant.run(folder / "g", serve=("modbus", "opcua"), top=top, extra=plain) as gateway,
                plant.speak(gateway),
            ):
                plant.until(lambda: host.of("DDATA"))
                read_everything(gateway, folder)
            plant.until(lambda: host.of("NDEATH"))
        ports = {**gateway.ports, "mqtt": broker.port}
    decode = [f"tcp.port=={ports[name]},{as_}" for name, as_ in DISSECTORS.items()]

    def fields(what, *names):
        ours = ",".join(str(port) for port in ports.values())
        words = ["tshark", "-r", path, "-Y", f"tcp.port in {{{ours}}} and ({what})", "-T", "fields"]
        words += ["-o", f"mbtcp.tcp.port:{ports['modbus']}"]  # which end is the server
        words += [word for each in decode for word in ("-d", each)]
        words += [word for name in names for word in ("-e", name)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    return fields


def read_everything(gateway, folder):
    client = Client.made(folder / "client", "", "")
    client.endpoint = f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge"
    try:
        node = "ns=2;s=north.Leak.State"
        assert node in client("read", node, policy="None", mode="None")
    finally:
        client.close()
    words = ["node", NODE / "modbus.js", str(gateway.ports["modbus"]), "1"]
    subprocess.run(words, check=True, capture_output=True)


def flat(found):
    return [each for line in found for cell in line for each in cell.split(",") if each]


def test_nothing_is_malformed(dissected):
    assert dissected("_ws.malformed", "frame.number") == []
    assert dissected("mbtcp.cannot_classify", "frame.number") == []


def test_modbus_answers_carry_their_requests_number_function_and_exception(dissected):
    asked = dissected("mbtcp", *MODBUS)
    numbers = flat([(number,) for number, _, _ in asked])
    assert len(numbers) % 2 == 0
    assert all(numbers.count(each) >= 2 for each in numbers)  # a request and its answer
    assert {"43", "4", "2", "6"} <= set(flat([(function,) for _, function, _ in asked]))
    assert set(flat([(code,) for _, _, code in asked])) == {"1", "2"}


def test_opc_ua_opens_a_channel_a_session_and_reads(dissected):
    kinds = flat(dissected("opcua", "opcua.transport.type"))
    assert {"HEL", "ACK", "OPN", "MSG", "CLO"} <= set(kinds)
    assert kinds.index("HEL") < kinds.index("ACK") < kinds.index("OPN") < kinds.index("MSG")
    services = set(flat(dissected("opcua", "opcua.servicenodeid.numeric")))
    create_session, activate_session, read, fault = "461", "467", "631", "397"
    assert {create_session, activate_session, read} <= services
    assert fault not in services


def test_sparkplug_is_born_tells_and_dies_as_it_must(dissected):
    found = dissected("sparkplugb", *SPARKPLUG)
    verbs, groups, nodes, devices = (flat([column]) for column in zip(*found, strict=True))
    assert set(groups) == {"site"}
    assert set(nodes) == {"T1"}
    assert {"north", "south"} >= set(devices) >= {"north"}
    for first, later in (("NBIRTH", "DBIRTH"), ("DBIRTH", "DDATA"), ("DDATA", "NDEATH")):
        assert verbs.index(first) < verbs.index(later), verbs


def test_mqtt_connects_with_a_will_and_publishes_data_without_acknowledgement(dissected):
    connects = dissected("mqtt.msgtype == 1 and mqtt.willmsg", "mqtt.willtopic", "mqtt.conflag.qos")
    assert connects == [("spBv1.0/site/NDEATH/T1", "1")]
    published = dissected('mqtt.msgtype == 3 and mqtt.topic contains "DDATA"', "mqtt.qos")
    assert set(flat(published)) == {"0"}
