"""The connection itself: TLS, wrong settings, and a broker that swallows everything."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
from pydantic import ValidationError

from contract.errors import ConfigError
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.mqtt import connection
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
        with MqttConnection(config(broker.url), teller).start() as line:
            until(lambda: "acknowledged" in teller.news)
            assert str(line.connected_to) == broker.url
            listener.publish("asks/it", b"hello")
            until(lambda: "heard hello" in teller.news)
            listener.publish("asks/it", b"leave")
            until(lambda: teller.news.count("opened") == 2)
        line.close()
        until(lambda: [m.payload for m in listener.got].count(b"farewell") == 2)
        assert b"gone" not in [m.payload for m in listener.got]  # it left in order
    assert teller.threads == {"gasedge-mqtt-teller"}
    line.wake()  # after the end, too, it harms nobody


def test_a_black_hole_costs_the_one_who_hands_over_nothing_and_the_next_broker_is_tried(broker):
    teller = Teller()
    with black_hole() as nowhere:
        began = time.monotonic()
        with MqttConnection(config(nowhere, broker.url), teller).start() as line:
            slowest = 0.0
            while "opened" not in teller.news and time.monotonic() - began < 20:
                at = time.perf_counter()
                line.wake()
                slowest = max(slowest, time.perf_counter() - at)
                time.sleep(0.01)
            assert "opened" in teller.news
            assert 2.5 < time.monotonic() - began < 8.0  # it did hang in the first
            assert slowest < 0.05


def test_a_dead_broker_costs_the_plant_process_nothing(plant, tmp_path):
    """Modbus answers as before while both MQTT interfaces hang in dropped packets."""
    from pymodbus.client import ModbusTcpClient

    def answers(port, times):
        with ModbusTcpClient("127.0.0.1", port=port) as client:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                at = time.perf_counter()
                assert not client.read_input_registers(0, count=50, device_id=1).isError()
                times.append(time.perf_counter() - at)

    with black_hole() as nowhere:
        top = f'state_dir = "{tmp_path / "state"}"\n'
        tables = (
            f'[sparkplug]\ngroup = "g"\nbrokers = ["{nowhere}"]\n'
            f'[events]\nsite = "s"\nbrokers = ["{nowhere}"]\n'
        )
        more = {"modbus": tables}
        with plant.run(tmp_path / "h", serve=("modbus",)) as other, plant.speak(other):
            with (
                plant.run(tmp_path / "g", serve=("modbus",), top=top, more=more) as gateway,
                plant.speak(gateway),
            ):
                until(lambda: gateway.said("alarm north.leak: UNACK"))
                dead, without = [], []
                for _ in range(5):  # in turn: whatever else this machine does meets both
                    answers(gateway.ports["modbus"], dead)
                    answers(other.ports["modbus"], without)
                log = gateway.log.read_text()
                assert log.count("no connection to") <= 4  # and it does not fill the log
                ending = time.monotonic()
            assert time.monotonic() - ending < 5.0  # as long as the supervisor waits
    assert statistics.median(dead) < 2 * statistics.median(without) + 0.001
    assert sorted(dead)[int(len(dead) * 0.99)] < 0.1


def test_a_broker_that_accepts_and_never_greets_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        teller = Teller()
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        with MqttConnection(config(url), teller).start() as line:
            until(lambda: teller.news.count("before") >= 2, within_s=15)
            assert line.connected_to is None
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


@contextmanager
def broker_that_says(data):
    """Accepts whoever comes and says this to each; yields its URL and how many bytes were taken."""
    taken = []

    def serve(server):
        while True:
            try:
                client, _ = server.accept()
            except OSError:  # it is closed
                return
            with client, suppress(OSError):
                client.settimeout(5)
                client.recv(4096)  # CONNECT
                client.sendall(b"\x20\x02\x00\x00")
                packet = client.recv(4096)  # SUBSCRIBE, whose number stands behind two bytes
                client.sendall(b"\x90\x03" + packet[2:4] + b"\x01")
                taken.append(0)
                for first in range(0, len(data), 1 << 16):
                    taken[-1] += client.send(data[first : first + (1 << 16)])
                while client.recv(4096):
                    pass

    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown, socket.SHUT_RDWR)
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}", taken


def publish(topic, payload):
    rest = len(topic).to_bytes(2, "big") + topic + payload
    length, size = b"", len(rest)
    while size >= 128:
        length, size = length + bytes([size % 128 | 128]), size // 128
    return b"\x30" + length + bytes([size]) + rest


class LeavesInWriting(Teller):
    """Says farewell with QoS 1."""

    def farewell(self, line):
        line.say(Message("tells/teller", b"farewell", qos=1))


@pytest.mark.parametrize("acknowledges", [True, False])
def test_who_leaves_waits_until_his_farewell_is_acknowledged_else_the_broker_tells_the_will(
    acknowledges,
):
    heard = []

    def serve(client):
        """Packets of less than 128 bytes; the farewell's acknowledgement takes its time."""
        with client, client.makefile("rb") as stream:
            while head := stream.read(2):
                body = stream.read(head[1])
                kind = {0x10: "CONNECT", 0x82: "SUBSCRIBE", 0x32: "PUBLISH", 0xE0: "DISCONNECT"}
                heard.append(kind[head[0]])
                if head[0] == 0x10:
                    client.sendall(b"\x20\x02\x00\x00")
                elif head[0] == 0x82:
                    client.sendall(b"\x90\x03" + body[:2] + b"\x01")
                elif head[0] == 0x32:
                    if body.endswith(b"farewell"):
                        time.sleep(0.2)
                        heard.append("slept")
                        if not acknowledges:
                            continue
                    size = int.from_bytes(body[:2], "big")
                    client.sendall(b"\x40\x02" + body[2 + size : 4 + size])
                elif head[0] == 0xE0:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        teller = LeavesInWriting()
        with MqttConnection(config(url, keepalive_s=60), teller).start():
            client, _ = server.accept()
            thread = threading.Thread(target=serve, args=(client,))
            thread.start()
            until(lambda: "acknowledged" in teller.news)
        thread.join()
    end = ["DISCONNECT"] if acknowledges else []
    assert heard == ["CONNECT", "SUBSCRIBE", "PUBLISH", "PUBLISH", "slept", *end]


def test_a_topic_that_is_no_text_ends_the_connection_and_not_the_thread():
    teller, told = Teller(), []
    with (
        broker_that_says(publish(b"asks/\xff\xfe", b"x")) as (url, _),
        MqttConnection(config(url), teller, told.append).start() as line,
    ):
        until(lambda: teller.news.count("closed") >= 2, within_s=15)
        assert not line.has_ended
    assert len(told) == 1
    assert "utf-8" in told[0]


def test_a_host_name_that_is_none_is_a_broker_that_is_not_there(broker):
    teller = Teller()
    with MqttConnection(config("mqtt://a..b", broker.url), teller).start():
        until(lambda: "acknowledged" in teller.news)
    assert teller.news.count("unreached") == 1


def test_a_fault_of_our_own_is_told_to_the_operator_and_the_connection_is_made_all_the_same(
    broker, monkeypatch
):
    monkeypatch.setattr(connection, "_STEADY_S", 0.3)

    class Faulty(Teller):
        def turn(self, line):
            if line is None and not told:
                raise RuntimeError("a fault of our own")
            return super().turn(line)

    teller, told = Faulty(), []
    with MqttConnection(config(broker.url), teller, told.append).start():
        until(lambda: told[1:], within_s=15)
    assert "opened" in teller.news
    assert "a fault of our own" in told[0]
    assert told[1:] == [None]  # it is over once a connection has stood for long enough


def test_a_message_that_is_too_large_is_refused_before_it_is_held_in_memory(caplog):
    teller = Teller()
    with broker_that_says(publish(b"asks/much", bytes(64 << 20))) as (url, taken):
        with MqttConnection(config(url), teller).start():
            until(lambda: "closed" in teller.news)
        assert taken[0] < 16 << 20  # what kernels hold on the way
    assert "it sends too much" in caplog.text
    teller = Teller()
    with (
        broker_that_says(publish(b"asks/enough", b"x" * 60_000)) as (url, _),
        MqttConnection(config(url), teller).start(),
    ):
        until(lambda: "heard " + "x" * 60_000 in teller.news)


def test_why_a_broker_is_not_there_any_more_is_told_where_its_connection_did_not_stand_long(
    tmp_path, caplog
):
    with (
        mosquitto(tmp_path) as broker,
        MqttConnection(config(broker.url), Teller()).start(),
        caplog.at_level("WARNING"),
    ):
        until(lambda: "as teller" in (tmp_path / "mosquitto.log").read_text())
        broker.stop()
        until(lambda: "no connection to" in caplog.text)
        assert "Connection refused" in caplog.text
        told = caplog.text.count("no connection to")
        time.sleep(1.5)  # several tries more, which say nothing new
        assert caplog.text.count("no connection to") == told == 1
