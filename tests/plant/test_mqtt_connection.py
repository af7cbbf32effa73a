"""The connection itself: TLS, wrong settings, and a broker that swallows everything."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from pydantic import ValidationError

from contract.errors import ConfigError
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.mqtt.config import EventsConfig, SparkplugConfig, credentials
from edge_runtime.plant.mqtt.connection import MqttConnection
from edge_runtime.plant.mqtt.speaking import Message
from tests.plant.mqtt_brokers import Listener, mosquitto
from tests.plant.waiting import free_port, until

pytest.importorskip("paho.mqtt.client")


class Teller:
    """Says one thing again and again, and notes what happens to it."""

    def __init__(self, client_id="teller"):
        self.client_id = client_id
        self.news = []
        self.threads = set()

    def before(self):
        self._note("before")
        return Message("wills/teller", b"gone", qos=1)

    def unreached(self):
        self._note("unreached")

    def subscriptions(self):
        return [("asks/#", 1)]

    def opened(self, line):
        self._note("opened")
        line.say(Message("tells/teller", b"here", qos=1))

    def heard(self, line, topic, payload, *, retained):
        self._note(f"heard {payload.decode()}")
        if payload == b"leave":
            line.leave()

    def acknowledged(self, number):
        self._note("acknowledged")

    def turn(self, line):
        self.threads.add(threading.current_thread().name)
        return 0.05

    def farewell(self, line):
        line.say(Message("tells/teller", b"farewell"))

    def closed(self):
        self._note("closed")

    def _note(self, what):
        self.threads.add(threading.current_thread().name)
        self.news.append(what)


def config(*urls, **more):
    return EventsConfig(site="s", brokers=urls, **({"keepalive_s": 2} | more))


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextmanager
def black_hole():
    """A port whose packets are dropped: its queue is full, so not even a connection is answered."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}"


def test_says_hears_and_leaves_in_order_from_one_thread_of_its_own(broker):
    teller = Teller()
    with Listener(broker.port, "#") as listener:
        with MqttConnection(config(broker.url), teller).start() as connection:
            until(lambda: "acknowledged" in teller.news)
            assert str(connection.connected_to) == broker.url
            listener.publish("asks/it", b"hello")
            until(lambda: "heard hello" in teller.news)
            listener.publish("asks/it", b"leave")
            until(lambda: teller.news.count("opened") == 2)
        connection.close()
        until(lambda: [m.payload for m in listener.got].count(b"farewell") == 2)
        assert b"gone" not in [m.payload for m in listener.got]  # it left in order
    assert teller.threads == {"gasedge-mqtt-teller"}
    connection.wake()  # after the end, too, it harms nobody


def test_a_black_hole_costs_the_one_who_hands_over_nothing_and_the_next_broker_is_tried(broker):
    teller = Teller()
    with black_hole() as nowhere:
        began = time.monotonic()
        with MqttConnection(config(nowhere, broker.url), teller).start() as connection:
            slowest = 0.0
            while "opened" not in teller.news and time.monotonic() - began < 20:
                at = time.perf_counter()
                connection.wake()
                slowest = max(slowest, time.perf_counter() - at)
                time.sleep(0.01)
            assert "opened" in teller.news
            assert 2.5 < time.monotonic() - began < 8.0  # it did hang in the first
            assert slowest < 0.05


def test_a_dead_broker_costs_the_plant_process_nothing(plant, tmp_path):
    """Modbus answers as before while both MQTT interfaces hang in dropped packets."""
    from pymodbus.client import ModbusTcpClient

    def answers(port, seconds):
        times = []
        with ModbusTcpClient("127.0.0.1", port=port) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                at = time.perf_counter()
                assert not client.read_input_registers(0, count=50, device_id=1).isError()
                times.append(time.perf_counter() - at)
        return sorted(times)

    with black_hole() as nowhere:
        top = f'state_dir = "{tmp_path / "state"}"\n'
        tables = (
            f'[sparkplug]\ngroup = "g"\nbrokers = ["{nowhere}"]\n'
            f'[events]\nsite = "s"\nbrokers = ["{nowhere}"]\n'
        )
        more = {"modbus": tables}
        with (
            plant.run(tmp_path / "g", serve=("modbus",), top=top, more=more) as gateway,
            plant.speak(gateway),
        ):
            until(lambda: gateway.said("alarm north.leak: UNACK"))
            dead = answers(gateway.ports["modbus"], 1.5)
            log = gateway.log.read_text()
            assert log.count("no connection to") <= 4  # and it does not fill the log
            ending = time.monotonic()
        assert time.monotonic() - ending < 5.0  # as long as the supervisor waits
    with plant.run(tmp_path / "h", serve=("modbus",)) as gateway, plant.speak(gateway):
        without = answers(gateway.ports["modbus"], 1.5)
    assert dead[len(dead) // 2] < 2 * without[len(without) // 2] + 0.001
    assert dead[int(len(dead) * 0.99)] < 0.1


def test_a_broker_that_accepts_and_never_greets_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        teller = Teller()
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        with MqttConnection(config(url), teller).start() as connection:
            until(lambda: teller.news.count("before") >= 2, within_s=15)
            assert connection.connected_to is None
            assert "opened" not in teller.news


def authority(folder):
    """A certificate authority and a broker's certificate for 127.0.0.1 that it signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = dt.datetime.now(dt.timezone.utc)

    def made(name, signer, issuer, extension):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(extension, critical=True)
        )
        certificate = builder.sign(signer or key, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return key, subject

    key, issuer = made("ca", None, None, x509.BasicConstraints(ca=True, path_length=0))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made("broker", key, issuer, x509.SubjectAlternativeName([address]))
    return folder


def test_over_tls_only_a_broker_of_the_named_authority_is_spoken_to(tmp_path):
    pytest.importorskip("cryptography")
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    extra = (
        "listener PORT 127.0.0.1\nallow_anonymous true\n"
        f"certfile {ours / 'broker.pem'}\nkeyfile {ours / 'broker.key'}\n"
    )
    with mosquitto(tmp_path / "mosquitto", extra=extra) as broker:
        url = f"mqtts://127.0.0.1:{broker.port}"
        teller = Teller()
        with MqttConnection(config(url, ca_file=ours / "ca.pem"), teller).start():
            until(lambda: "acknowledged" in teller.news)
        wrong = Teller()
        with MqttConnection(config(url, ca_file=theirs / "ca.pem"), wrong).start():
            until(lambda: wrong.news.count("before") >= 2)
            assert "opened" not in wrong.news
        plain = Teller()
        with MqttConnection(config(broker.url), plain).start():
            until(lambda: plain.news.count("before") >= 2, within_s=15)
            assert "opened" not in plain.news


@pytest.mark.parametrize(
    "url",
    [
        "tcp://host",
        "mqtt://",
        "mqtt://user:password@host",
        "mqtt://host:0",
        "mqtt://host:99999",
        "mqtt://host/path",
        "host:1883",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValidationError, match="a broker is mqtt://HOST"):
        config(url)


def test_what_cannot_be_used_is_told_in_one_line(tmp_path):
    secret = tmp_path / "secret"
    with pytest.raises(ConfigError, match="cannot be read"):
        credentials(secret)
    secret.write_text("user:password\n")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="run: chmod 600"):
        credentials(secret)
    secret.chmod(0o600)
    assert credentials(secret) == ("user", "password")
    for text in ("user", "", "user:a\nuser:b", ":password"):
        secret.write_text(text)
        with pytest.raises(ConfigError, match="must hold one line"):
            credentials(secret)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no certificate of an authority"):
        MqttConnection(config("mqtts://host", ca_file=tmp_path / "ca.pem"), Teller())


@pytest.mark.parametrize(
    "table",
    [
        {"sparkplug": {"group": "g", "brokers": ["mqtt://h"]}},
        {"events": {"site": "g", "brokers": ["mqtt://h"]}},
    ],
)
def test_both_interfaces_need_a_place_on_disk(table, tmp_path):
    with pytest.raises(ValidationError, match="set state_dir"):
        PlantConfig.model_validate(table)
    PlantConfig.model_validate(table | {"state_dir": tmp_path})


@pytest.mark.parametrize("name", ["a/b", "a+b", "#", "", "x" * 65])
def test_names_that_would_be_levels_or_wildcards_of_topics_are_refused(name):
    with pytest.raises(ValidationError):
        SparkplugConfig(group=name, brokers=("mqtt://h",))


def test_nobody_listens_at_a_free_port_and_that_is_told_once(caplog):
    teller = Teller()
    with MqttConnection(config(f"mqtt://127.0.0.1:{free_port()}"), teller).start():
        until(lambda: teller.news.count("before") >= 3, within_s=15)
    told = [each for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == 1
    assert "no connection to" in told[0].getMessage()
    json.dumps(teller.news)
