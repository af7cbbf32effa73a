"""Events: numbered without a gap, true to their schema, kept until they are acknowledged."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from contract.alarms import AlarmKind, AlarmState
from contract.mask_encoding import encode_mask
from edge_runtime.alarms.desk import WatchedCamera
from edge_runtime.alarms.machine import Now
from edge_runtime.alarms.read_journal import read_records
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox, Record, Stream
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.freshness import Limits, Published
from edge_runtime.plant.keeping import keeping
from edge_runtime.plant.mqtt.config import EventsConfig
from edge_runtime.plant.mqtt.connection import MqttConnection
from edge_runtime.plant.mqtt.event_body import alarm_event, change_of, evidence_event
from edge_runtime.plant.mqtt.event_body import published_event as made
from edge_runtime.plant.mqtt.event_speaker import CONSUMER, EventSpeaker
from edge_runtime.plant.mqtt.event_writer import EventWriter
from edge_runtime.plant.mqtt.serve import consumers, serve_mqtt
from edge_runtime.plant.receiver import Board
from tests.edge_runtime.evidence.leaks_seen import leak
from tests.plant.mqtt_brokers import Listener, mosquitto, that_keeps
from tests.plant.waiting import until

pytest.importorskip("paho.mqtt.client")

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "event-1.json"
ORIGIN = {
    "site": "s",
    "box": "b",
    "series": "0" * 32,
    "config_hash": "c" * 64,
    "boot_id": "boot",
    "clock_ok": True,
}
AT = 1_790_000_000_123_456_789
NORMAL = leak(
    "",
    active=False,
    state=AlarmState.NORM,
    acked=True,
    confirmed=True,
    message="",
    onset_ns=0,
    changed_ns=AT,
)
ACTIVE = dataclasses.replace(
    NORMAL, state=AlarmState.UNACK, active=True, acked=False, confirmed=False, event_id="e1"
)


@pytest.fixture(scope="module")
def valid():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    closed = {**schema, "additionalProperties": False}  # what we send is all described
    return jsonschema.Draft202012Validator(closed).validate


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


def mask():
    bits = np.zeros((48, 64), np.bool_)
    bits[10:20, 5:40] = True
    return encode_mask(
        bits, frame_seq=7, captured_ns=AT, monotonic_ns=1, score=0.5, state=2, model_sha256=""
    )


def change(alarm, **what):
    return dataclasses.replace(alarm, **what)


STATES = AlarmState
CHANGES = [
    (NORMAL, ACTIVE, "leak_on"),
    (None, ACTIVE, "leak_on"),
    (ACTIVE, change(ACTIVE, active=False, state=STATES.RTN_UNACK), "leak_off"),
    (ACTIVE, change(ACTIVE, acked=True, state=STATES.ACKED), "ack"),
    (change(ACTIVE, acked=True, state=STATES.ACKED), ACTIVE, "again"),
    (ACTIVE, change(ACTIVE, confirmed=True), "confirm"),
    (ACTIVE, change(ACTIVE, comment="valve 7"), "comment"),
    (ACTIVE, change(ACTIVE, state=STATES.SHELVED, shelved_until_ns=AT), "shelve"),
    (change(ACTIVE, state=STATES.SHELVED), ACTIVE, "unshelve"),
    (NORMAL, change(NORMAL, state=STATES.SUPPRESSED), "suppress"),
    (change(NORMAL, state=STATES.SUPPRESSED), NORMAL, "unsuppress"),
    (NORMAL, change(NORMAL, state=STATES.OUT_OF_SERVICE), "out_of_service"),
    (change(NORMAL, state=STATES.OUT_OF_SERVICE), NORMAL, "in_service"),
    (change(NORMAL, state=STATES.LATCH_ACKED), NORMAL, "reset"),
    (ACTIVE, change(ACTIVE, message="Gas leak; held"), "changed"),
    (None, NORMAL, "changed"),
    *(
        (change(NORMAL, kind=kind), change(ACTIVE, kind=kind), f"{kind.value}_on")
        for kind in AlarmKind
    ),
]


@pytest.mark.parametrize(("before", "after", "said"), CHANGES)
def test_what_happened_is_said_in_one_word_and_true_to_the_schema(
    plant, valid, before, after, said
):
    assert change_of(before, after) == said
    snapshot = plant.snapshot()
    body = alarm_event(said, after, snapshot, origin=ORIGIN, mask_n=None)
    topic, message = made(Record(3, Stream.EVENT, AT, body), None, AT)
    event = json.loads(message)
    valid(event)
    assert (topic, event["n"], event["type"]) == ("north/event", 3, said)
    assert event["t_event"] == "2026-09-21T14:13:20.123Z"
    assert (event["score"], event["bbox"]) == (0.8125, [10, 20, 300, 400])


def test_every_type_of_the_schema_is_one_that_is_sent():
    types = json.loads(SCHEMA.read_text())["properties"]["type"]["enum"]
    off = [f"{kind.value}_off" for kind in AlarmKind]
    assert sorted({said for *_, said in CHANGES} | {*off, "evidence"}) == sorted(types)


def test_events_of_the_device_and_of_evidence_are_true_to_the_schema(valid):
    device = change(ACTIVE, id="device.maintenance", camera="", kind=AlarmKind.MAINTENANCE)
    body = alarm_event("maintenance_on", device, None, origin=ORIGIN, mask_n=None)
    topic, message = made(Record(1, Stream.EVENT, AT, body), None, AT)
    valid(json.loads(message))
    assert topic == "event"
    body = evidence_event("north", "e1", "d" * 64, AT, origin=ORIGIN)
    topic, message = made(Record(2, Stream.EVENT, AT, body), None, AT)
    event = json.loads(message)
    valid(event)
    assert (topic, event["evidence_sha256"], event["event_id"]) == ("north/event", "d" * 64, "e1")


def test_a_simulated_leak_is_marked_as_a_test(plant):
    simulated = plant.snapshot(Health__Code=2048)
    body = alarm_event("leak_on", ACTIVE, simulated, origin=ORIGIN, mask_n=None)
    assert json.loads(body)["test"] is True
    body = alarm_event("leak_on", ACTIVE, plant.snapshot(), origin=ORIGIN, mask_n=None)
    assert json.loads(body)["test"] is False


class Bench:
    """A writer on a real file and what it has to look at."""

    def __init__(self, path, plant, **limits):
        limits = {"max_bytes": 1 << 20, "max_age_s": 1e6} | limits
        consumers = {CONSUMER: (Stream.EVENT, Stream.MASK)}
        self.outbox = Outbox(Database(path), consumers=consumers, **limits)
        self.snapshot = plant.snapshot(Mask__Data=mask())
        self.writer = EventWriter(
            self.outbox,
            origin=lambda: {key: ORIGIN[key] for key in ("site", "box", "series", "config_hash")},
            look=lambda _camera: self.snapshot,
            clock=lambda: Now(1.0, AT, clock_ok=True, boot_id="boot"),
        )
        self.writer.know(NORMAL)

    def happen(self, count):
        for number in range(count):
            alarm = change(ACTIVE, changed_ns=AT + number, comment=str(number))
            self.writer.told(alarm)
            self.writer.write(alarm)
            self.writer.kept()


@pytest.fixture
def bench(plant, tmp_path):
    made_bench = Bench(tmp_path / "plant.sqlite", plant)
    yield made_bench
    made_bench.outbox.close()


@contextmanager
def delivering(bench, broker, **more):
    config = EventsConfig(site="s", brokers=(broker.url,), **({"keepalive_s": 2} | more))
    speaker = EventSpeaker(config, bench.outbox, box="b")
    with MqttConnection(config, speaker).start() as connection:
        yield connection


def heard(listener):
    return [json.loads(each.payload) for each in listener.got]


def waits(bench):
    return bench.outbox.waiting(CONSUMER, Stream.EVENT, 10**6)


def test_an_event_carries_the_mask_of_its_moment_and_both_go_once_acknowledged(
    bench, broker, valid
):
    bench.happen(1)
    taken = mask()
    bench.snapshot = None  # what is seen later is no matter
    with Listener(broker.port, "gasedge/#") as listener, delivering(bench, broker):
        until(lambda: listener.got)
        until(lambda: not waits(bench))
        (event,) = heard(listener)
        valid(event)
        assert listener.got[0].topic == "gasedge/v1/s/b/north/event"
        assert (listener.got[0].qos, listener.got[0].retain) == (1, False)
        assert (event["n"], event["mask"]["w"], event["mask"]["h"]) == (1, 64, 48)
        assert base64.b64decode(event["mask"]["b64"]) == taken
        assert bench.outbox.figures(AT).depth == 0


def test_only_a_leaks_event_keeps_a_mask_so_that_none_waits_for_nobody(bench, broker):
    for kind in AlarmKind:
        bench.writer.write(change(ACTIVE, kind=kind))
    assert len(bench.outbox.waiting(CONSUMER, Stream.MASK, 99)) == 1
    with Listener(broker.port, "gasedge/#") as listener, delivering(bench, broker):
        until(lambda: len(listener.got) == len(AlarmKind))
        until(lambda: not bench.outbox.figures(AT).depth)
        masks = {event["kind"]: event["mask"] is not None for event in heard(listener)}
    assert masks == {kind.value: kind is AlarmKind.LEAK for kind in AlarmKind}


def test_masks_go_first_when_room_runs_out_and_their_events_say_so(plant, tmp_path, broker, valid):
    bench = Bench(tmp_path / "small.sqlite", plant, max_bytes=4000)
    bench.happen(20)
    dropped = bench.outbox.figures(AT).dropped
    assert dropped
    with Listener(broker.port, "gasedge/#") as listener, delivering(bench, broker):
        until(lambda: len(listener.got) == 20)
    events = heard(listener)
    assert [event["n"] for event in events] == [*range(1, 21)]
    assert sum(event["mask_dropped"] for event in events) == dropped
    for event in events:
        valid(event)
        assert event["mask_dropped"] is (event["mask"] is None)
    bench.outbox.close()


def test_a_change_that_the_disk_refused_is_written_later_with_the_values_of_its_moment(bench):
    first = change(ACTIVE, changed_ns=AT + 1)
    second = change(first, acked=True, state=AlarmState.ACKED, changed_ns=AT + 2)
    for alarm in (first, second):  # told at once, while nothing can be written
        bench.writer.told(alarm)
    bench.snapshot = dataclasses.replace(bench.snapshot, values={"Leak/Score": 0.125})
    for _ in range(2):  # the first try fails at the end and is undone
        with bench.outbox.batch():
            bench.writer.write(first)
            bench.writer.write(second)
    bodies = [json.loads(each.body) for each in waits(bench)]
    assert [body["type"] for body in bodies] == ["leak_on", "ack", "leak_on", "ack"]
    assert {body["score"] for body in bodies} == {0.8125}


def test_moments_are_forgotten_once_written_and_those_of_a_long_refusal_hold_few_masks(bench):
    for number in range(2000):  # nothing can be written
        bench.writer.told(change(ACTIVE, changed_ns=AT + number))
    seen = [each.snapshot.value("Mask/Data") for each in bench.writer._seen.values()]
    assert len(seen) == 1000
    assert sum(mask is not None for mask in seen) <= 100
    bench.writer.kept()
    assert not bench.writer._seen


@pytest.mark.parametrize("outage", ["stopped", "frozen"])
def test_none_is_lost_and_order_is_kept_over_outages(bench, tmp_path, outage):
    """Frozen is a half-open line: the broker's machine is there and answers nothing."""
    with (
        mosquitto(tmp_path / "broker", extra=that_keeps(tmp_path / "broker")) as broker,
        Listener(broker.port, "gasedge/#", client_id="keeper", clean=False) as listener,
        delivering(bench, broker) as connection,
    ):
        for part in range(1, 4):
            bench.happen(40)
            connection.wake()
            until(lambda part=part: len(listener.got) >= 50 * part - 10)
            if outage == "stopped":
                broker.stop()
                bench.happen(10)
                broker.start()
            else:
                broker.freeze()
                bench.happen(10)
                connection.wake()
                time.sleep(0.5)
                broker.thaw()
            until(lambda: connection.connected_to)
        until(lambda: not waits(bench))
        until(lambda: len({event["n"] for event in heard(listener)}) == 150)
    found = [event["n"] for event in heard(listener)]
    assert [*dict.fromkeys(found)] == [*range(1, 151)]


def test_a_line_on_which_nothing_comes_back_is_given_up_within_two_keepalives(bench, broker):
    with Listener(broker.port, "gasedge/#"), delivering(bench, broker) as connection:
        until(lambda: connection.connected_to)
        broker.freeze()
        try:
            bench.happen(5)
            connection.wake()
            began = time.monotonic()
            until(lambda: not connection.connected_to, within_s=8)
            assert time.monotonic() - began < 2 * 2 + 1.5
            assert len(waits(bench)) == 5
        finally:
            broker.thaw()
        until(lambda: not waits(bench), within_s=15)


def test_a_broker_that_refuses_the_log_in_gets_nothing_and_loses_nothing(bench, tmp_path):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "box", "right one"], check=True)
    passwords.chmod(0o644)
    extra = f"listener PORT 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
    secret = tmp_path / "secret"
    secret.write_text("box:wrong one\n")
    secret.chmod(0o600)
    with mosquitto(tmp_path / "strict", extra=extra) as broker:
        bench.happen(3)
        who = {"user": "box", "password": "right one"}
        with Listener(broker.port, "gasedge/#", **who) as listener:
            with delivering(bench, broker, credentials_file=secret) as connection:
                time.sleep(1.0)
                assert connection.connected_to is None
            assert (len(waits(bench)), listener.got) == (3, [])
            secret.write_text("box:right one\n")
            with delivering(bench, broker, credentials_file=secret):
                until(lambda: not waits(bench))
            until(lambda: len(listener.got) >= 3)  # the broker passes on what it acknowledged
            assert [event["n"] for event in heard(listener)] == [1, 2, 3]


def test_what_waited_is_replayed_no_faster_than_configured(bench, broker):
    bench.happen(100)
    with (
        Listener(broker.port, "gasedge/#") as listener,
        delivering(bench, broker, replay_per_s=50.0),
    ):
        until(lambda: len(listener.got) == 100)
    assert listener.got[-1].at_s - listener.got[0].at_s > (100 - 25) / 50


def test_the_plant_process_tells_a_leak_with_everything_behind_it(plant, tmp_path, broker, valid):
    top = f'state_dir = "{tmp_path / "state"}"\n[events]\nsite = "s"\nbrokers = ["{broker.url}"]\n'
    with (
        Listener(broker.port, "gasedge/v1/s/T1/#") as listener,
        plant.run(tmp_path / "gateway", serve=(), top=top) as gateway,
    ):
        with plant.speak(gateway, lambda: plant.snapshot(Mask__Data=mask())):
            until(lambda: [e for e in heard(listener) if e["type"] == "leak_on"])
        events = heard(listener)
        for event in events:
            valid(event)
        leak = next(event for event in events if event["type"] == "leak_on")
        assert (leak["alarm"], leak["camera"], leak["state"]) == ("north.leak", "north", 2)
        assert leak["alarm_state"] == 1
        assert leak["mask"]["w"] == 64
        assert leak["t_capture"] <= leak["t_event"] <= leak["t_publish"]
        assert [event["n"] for event in events] == [*range(1, len(events) + 1)]


IN_A_NETWORK_OF_ITS_OWN = """
import subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
from tests.plant.conftest import snapshot
from tests.plant.mqtt_brokers import Listener, mosquitto
from tests.plant.waiting import until
from tests.plant.test_mqtt_events import Bench, delivering, heard, waits

def net(*words):
    subprocess.run(words, check=True)

net("ip", "link", "set", "lo", "up")
folder = Path(sys.argv[1])
bench = Bench(folder / "plant.sqlite", SimpleNamespace(snapshot=snapshot))
with mosquitto(folder) as broker, delivering(bench, broker) as line:
    with Listener(broker.port, "gasedge/#", client_id="keeper", clean=False) as listener:
        bench.happen(10)
        line.wake()
        until(lambda: len(listener.got) == 10)
        net("tc", "qdisc", "add", "dev", "lo", "root", "blackhole")  # no packet arrives any more
        bench.happen(10)
        line.wake()
        began = time.monotonic()
        until(lambda: line.connected_to is None)
        print("noticed after", round(time.monotonic() - began, 1))
        bench.happen(10)
        time.sleep(1)
        net("tc", "qdisc", "del", "dev", "lo", "root")
        began = time.monotonic()
        until(lambda: not waits(bench), within_s=30)
        print("back after", round(time.monotonic() - began, 1))
        until(lambda: len({event["n"] for event in heard(listener)}) == 30, within_s=90)
    found = [event["n"] for event in heard(listener)]
assert [*dict.fromkeys(found)] == [*range(1, 31)], found
bench.outbox.close()
"""


def test_dropped_packets_are_noticed_and_lose_nothing(tmp_path):
    alone = ["unshare", "--net", "--"]
    drop = "ip link set lo up && tc qdisc add dev lo root blackhole"
    if not all(shutil.which(each) for each in ("unshare", "tc", "ip")):
        pytest.skip("needs unshare, ip and tc (util-linux, iproute2)")
    if subprocess.run([*alone, "sh", "-c", drop], capture_output=True).returncode:
        pytest.skip("this user may not make a network of its own")
    done = subprocess.run(
        [*alone, sys.executable, "-c", IN_A_NETWORK_OF_ITS_OWN, tmp_path],
        cwd=SCHEMA.parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    noticed = float(done.stdout.split()[2])
    assert noticed <= 2 * 2 + 1.5


def test_what_waits_for_a_disk_when_the_process_ends_is_kept_with_its_events(tmp_path, plant):
    config = PlantConfig(
        state_dir=tmp_path, events=EventsConfig(site="s", brokers=("mqtt://127.0.0.1:1",))
    )
    in_the_way = tmp_path / f"{FILE}.lock"
    in_the_way.mkdir()
    served = consumers(config)
    board = Board(["camera1"], Limits(10.0, 10.0))
    loop = asyncio.new_event_loop()
    with (
        contextlib.closing(loop),
        keeping(config, [WatchedCamera("camera1")], config_sha256="", consumers=served) as kept,
        serve_mqtt(config, board, kept, loop, config_sha256=""),
    ):
        kept.desk.look(Published(plant.snapshot(camera="camera1"), heard=True))
        kept.desk.tick()
        in_the_way.rmdir()
    told = [each for each in read_records(tmp_path) if each.category == "alarm"]
    assert told
    with Database(tmp_path / FILE) as database:
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=1e6, consumers=served)
        assert len(outbox.waiting(CONSUMER, Stream.EVENT, 99)) == len(told)
