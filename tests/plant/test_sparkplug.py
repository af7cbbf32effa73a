"""The real plant process as an edge node, on brokers of two makes."""

from __future__ import annotations

import json
import signal
import time

import pytest

from contract.tags import TAGS
from edge_runtime.plant.sparkplug.metrics import METRICS
from edge_runtime.plant.sparkplug.wire import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from tests.plant.mqtt_brokers import Listener, mosquitto, nats
from tests.plant.waiting import free_port, until

pytest.importorskip("paho.mqtt.client")

NCMD = "spBv1.0/site/NCMD/T1"


def read(got):
    return decode_payload(got.payload)


def named(got):
    return {metric.name: metric for metric in read(got).metrics}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture
def gateway_on(plant, tmp_path):
    """Runs the plant process as an edge node of these brokers."""

    def run(*urls, number=1, **more):
        folder = tmp_path / f"gateway{number}"
        lines = [f'state_dir = "{tmp_path / "state"}"', "[sparkplug]", 'group = "site"']
        lines += [f"brokers = {json.dumps(urls)}", "keepalive_s = 2"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
        return plant.run(folder, serve=(), top="\n".join(lines) + "\n")

    return run


def test_every_tag_arrives_at_a_host_with_value_quality_and_time(plant, broker, gateway_on):
    with Listener(broker.port) as host, gateway_on(broker.url) as gateway:
        with plant.speak(gateway):
            birth = until(
                lambda: [
                    each
                    for each in host.of("DBIRTH")
                    if each.topic.endswith("/north") and named(each)["Leak/State"].value == 2
                ]
            )[0]
        found = named(birth)
        sent = plant.snapshot().values
        for row in METRICS:
            if row.tag.name in sent and not row.tag.derived:
                expected = row.taken_from(sent[row.tag.name])
                assert found[row.name].value == pytest.approx(expected), row.name
                assert found[row.name].quality is None
        assert {row.tag.name for row in METRICS} == {tag.name for tag in TAGS}
        assert abs(found["Leak/State"].timestamp_ms - time.time() * 1000) < 10_000
        assert named(host.of("NBIRTH")[0])["Properties/Serial"].value == "T1"
        until(lambda: host.of("DDEATH"))  # the frames process is gone
    until(lambda: host.of("NDEATH"))


def test_ndeath_comes_from_the_broker_after_kill_9_and_the_next_birth_counts_on(
    plant, broker, gateway_on
):
    """nbirth-bdseq, ndeath-bdseq over a restart: one more than the last connection's."""
    with Listener(broker.port) as host:
        gateway = gateway_on(broker.url)
        running = gateway.__enter__()
        until(lambda: host.of("NBIRTH"))
        running.send_signal(signal.SIGKILL)
        running.process.wait()
        with pytest.raises(AssertionError):
            gateway.__exit__(None, None, None)
        until(lambda: host.of("NDEATH"))
        with gateway_on(broker.url, number=2):
            until(lambda: len(host.of("NBIRTH")) == 2)
        until(lambda: len(host.of("NDEATH")) == 2)
    births = [named(each)["bdSeq"].value for each in host.of("NBIRTH")]
    deaths = [named(each)["bdSeq"].value for each in host.of("NDEATH")]
    assert births == deaths == [births[0], births[0] + 1]


def test_a_rebirth_is_asked_for_and_given_over_the_wire(broker, gateway_on):
    with Listener(broker.port) as host, gateway_on(broker.url):
        until(lambda: host.of("NBIRTH"))
        ask = Payload(1, (Metric("Node Control/Rebirth", None, 1, DataType.BOOLEAN, value=True),))
        time.sleep(1.1)  # once a second
        host.publish(NCMD, encode_payload(ask))
        until(lambda: len(host.of("NBIRTH")) == 2)
        first, second = host.of("NBIRTH")
        assert named(first)["bdSeq"].value == named(second)["bdSeq"].value
        assert read(second).seq == 0


def says(host, *, online):
    """The primary host tells that it is there, or not."""
    said = json.dumps({"online": online, "timestamp": int(time.time() * 1000)}).encode()
    host.publish("spBv1.0/STATE/scada", said, retain=True)


def test_operational_behavior_primary_application_state_with_multiple_servers_walk(
    plant, broker, gateway_on, tmp_path
):
    """The host leaves the first broker: a death there, a birth on the second, of another make."""
    with nats(tmp_path / "nats") as second_url:
        second_port = int(second_url.rpartition(":")[2])
        with Listener(broker.port) as first, Listener(second_port, "spBv1.0/#") as second:
            says(first, online=True)
            says(second, online=True)
            with gateway_on(broker.url, second_url, primary_host="scada"):
                until(lambda: first.of("NBIRTH"))
                assert not second.of("NBIRTH")
                says(first, online=False)
                until(lambda: second.of("NBIRTH"), within_s=20)
                assert first.of("NDEATH")
                bd_seq = named(first.of("NBIRTH")[0])["bdSeq"].value
                assert named(second.of("NBIRTH")[0])["bdSeq"].value == bd_seq + 1
            until(lambda: second.of("NDEATH"))


def test_a_dead_broker_is_passed_over_and_what_was_missed_comes_as_history(
    plant, broker, gateway_on
):
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    with (
        Listener(broker.port) as host,
        gateway_on(nobody, broker.url, primary_host="scada") as gateway,
        plant.speak(gateway),
    ):
        says(host, online=True)
        until(lambda: host.of("DBIRTH"))
        host.will_lose_its_broker()
        broker.stop()
        time.sleep(2.5)
        broker.start()
        host.until_it_is_back()
        assert len(host.of("NBIRTH")) == 1, "born before the host was there to hear it"
        says(host, online=True)
        until(lambda: len(host.of("NBIRTH")) >= 2, within_s=20)

        def past():
            return [m for each in host.of("DDATA") for m in read(each).metrics if m.historical]

        until(past, within_s=20)


def test_a_command_that_lay_at_the_broker_before_is_not_obeyed(broker, gateway_on):
    kept, now = (
        encode_payload(Payload(1, (Metric(name, None, 1, DataType.BOOLEAN, value=True),)))
        for name in ("Alarm/north.leak/Acknowledge", "Alarm/north.failure/Acknowledge")
    )
    with Listener(broker.port) as host:
        host.publish(NCMD, kept, retain=True)
        try:
            with gateway_on(broker.url, commands="operator") as gateway:
                until(lambda: host.of("NBIRTH"))
                host.publish(NCMD, now)
                until(lambda: gateway.said("acknowledge north.failure"))
                assert not gateway.said("acknowledge north.leak")
        finally:
            host.publish(NCMD, b"", retain=True)


def test_an_operator_acknowledges_over_mqtt_only_where_that_is_allowed(plant, broker, gateway_on):
    name = "Alarm/north.leak/Acknowledge"
    ask = encode_payload(Payload(1, (Metric(name, None, 1, DataType.BOOLEAN, value=True),)))

    with (
        Listener(broker.port) as host,
        gateway_on(broker.url, commands="operator") as gateway,
        plant.speak(gateway),
    ):
        until(lambda: gateway.said("alarm north.leak: UNACK"))
        until(lambda: host.of("NBIRTH"))
        host.publish(NCMD, ask)
        until(lambda: gateway.said("acknowledge north.leak: done"))
    with (
        Listener(broker.port) as host,
        gateway_on(broker.url, number=2) as gateway,
        plant.speak(gateway),
    ):
        until(lambda: host.of("NBIRTH"))
        host.publish(NCMD, ask)
        time.sleep(0.5)
        assert not gateway.said("acknowledge north.leak")
