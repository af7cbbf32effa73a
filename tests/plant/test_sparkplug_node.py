"""The edge node by the test ids (tck-id) of the Sparkplug 3.0 specification, without a network."""

from __future__ import annotations

import dataclasses
import json

import pytest

from contract.alarms import ActionKind
from contract.roles import Role
from contract.tags import TAGS, Quality
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.database import Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.freshness import Limits, hear, published
from edge_runtime.plant.sparkplug.history import CONSUMER, History
from edge_runtime.plant.sparkplug.metrics import METRICS
from edge_runtime.plant.sparkplug.node import EdgeNode, Identity, Moment
from edge_runtime.plant.sparkplug.wire import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)

UTC_MS = 1_790_000_000_000


class Bench:
    """A node with two cameras, and a clock that is turned by hand."""

    def __init__(self, plant, **more):
        self.plant = plant
        self.now = Moment(1000.0, UTC_MS)
        self.outbox = Outbox(
            Database(None), max_bytes=1 << 20, max_age_s=1e6, consumers={CONSUMER: tuple(Stream)}
        )
        self.history = History(self.outbox, window_s=20.0)
        self.desk = Desk([WatchedCamera("north"), WatchedCamera("south")], Database(None))
        identity = Identity(
            more.pop("group", "site"),
            "box",
            ("north", "south"),
            {"Properties/Serial": "T1"},
            **more,
        )
        self.node = EdgeNode(identity, self.desk.alarms(), self.history)

    def wait(self, seconds):
        self.now = Moment(self.now.s + seconds, self.now.ms + round(seconds * 1000))

    def shown(self, camera="north", *, age_s=0.0, silent=False, **values):
        quality = values.pop("quality", Quality.GOOD)
        sent = self.plant.snapshot(
            camera,
            quality=quality,
            source_time_ns=self.now.ms * 1_000_000 - round(age_s * 1e9),
            **values,
        )
        now_ns = round(self.now.s * 1e9)
        heard = hear(None, sent, sent_ns=now_ns - round(age_s * 1e9), age_ns=0)
        unit = 1 if camera == "north" else 2
        limits = Limits(0.5, 2.0)
        return published(camera, unit, None if silent else heard, now_ns=now_ns, limits=limits)

    def connect(self, *, seen=True, bd_seq=3):
        """A connection up to where births are due; answers what was said."""
        will = self.node.will(bd_seq)
        self.node.can_send = True
        said = self.node.opened(self.now)
        if seen:
            for camera in ("north", "south"):
                said += self.node.look(self.shown(camera), self.now)
        return will, said

    def look(self, *arguments, **named):
        return self.node.look(self.shown(*arguments, **named), self.now)

    def command(self, *metrics, verb="NCMD"):
        payload = encode_payload(Payload(self.now.ms, metrics))
        return self.node.heard(f"spBv1.0/site/{verb}/box", payload, self.now)

    def state(self, *, online, timestamp=UTC_MS, host="scada"):
        payload = json.dumps({"online": online, "timestamp": timestamp}).encode()
        return self.node.heard(f"spBv1.0/STATE/{host}", payload, self.now)


@pytest.fixture
def bench(plant):
    return Bench(plant)


def verb(message):
    return message.topic.split("/")[2]


def verbs(messages):
    return [verb(each) for each in messages]


def read(message):
    return decode_payload(message.payload)


def named(message):
    return {metric.name: metric for metric in read(message).metrics}


def aliases(messages):
    """Name of every alias that a birth gave."""
    return {m.alias: m.name for each in messages for m in read(each).metrics if m.name}


REBIRTH = Metric("Node Control/Rebirth", None, None, DataType.BOOLEAN, value=True)


def test_message_flow_edge_node_birth_publish_will_message(bench):
    """...-will-message, -topic, -payload, -payload-bdSeq, -qos, -will-retained; payloads-ndeath."""
    will, said = bench.connect(bd_seq=7)
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/site/NDEATH/box", 1, False)
    death = read(will)
    assert death.seq is None  # payloads-ndeath-seq
    assert [(m.name, m.value, m.datatype) for m in death.metrics] == [("bdSeq", 7, DataType.INT64)]
    assert named(said[0])["bdSeq"].value == 7  # payloads-nbirth-bdseq


def test_topics_nbirth_and_dbirth_qos_retain_and_order(bench):
    """topics-nbirth-mqtt, topics-dbirth-mqtt, message-flow-device-birth-publish-nbirth-wait."""
    _, said = bench.connect()
    assert verbs(said) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert [each.topic for each in said[1:]] == [
        "spBv1.0/site/DBIRTH/box/north",
        "spBv1.0/site/DBIRTH/box/south",
    ]
    assert {(each.qos, each.retain) for each in said} == {(0, False)}
    assert [read(each).seq for each in said] == [0, 1, 2]
    assert all(read(each).timestamp_ms == bench.now.ms for each in said)


def test_subscribes_to_commands_and_to_the_state_of_the_primary_host(plant):
    """message-flow-edge-node-ncmd-subscribe, message-flow-device-dcmd-subscribe, phid-..."""
    topics = dict(Bench(plant, host="scada").node.subscriptions())
    assert topics == {
        "spBv1.0/STATE/scada": 1,
        "spBv1.0/site/NCMD/box": 1,
        "spBv1.0/site/DCMD/box/+": 1,
    }
    assert "spBv1.0/STATE/scada" not in dict(Bench(plant).node.subscriptions())


def test_operational_behavior_data_commands_rebirth_name_datatype_value(bench):
    """...-rebirth-name, -datatype, -value; and -rebirth-name-aliases: it has none."""
    _, said = bench.connect()
    metric = named(said[0])["Node Control/Rebirth"]
    assert (metric.datatype, metric.value, metric.alias) == (DataType.BOOLEAN, False, None)


def test_payloads_alias_uniqueness_and_birth_requirement(bench):
    """payloads-alias-uniqueness, payloads-alias-birth-requirement, payloads-metric-datatype-req."""
    _, said = bench.connect()
    metrics = [metric for each in said for metric in read(each).metrics]
    with_alias = [metric.alias for metric in metrics if metric.alias is not None]
    assert len(with_alias) == len(set(with_alias)) == len(metrics) - 2  # bdSeq and Rebirth
    assert all(metric.name and metric.datatype and metric.timestamp_ms for metric in metrics)


def test_operational_behavior_data_publish_dbirth_has_every_tag_with_its_value(bench):
    """...-publish-dbirth, ...-dbirth-values: the whole tag table."""
    _, said = bench.connect()
    found = named(said[1])
    assert set(found) == {row.name for row in METRICS}
    assert {row.tag.name for row in METRICS} == {tag.name for tag in TAGS}
    sent = bench.plant.snapshot().values
    for row in METRICS:
        expected = row.taken_from(sent.get(row.tag.name))
        if row.tag.name in sent and not row.tag.derived:
            assert found[row.name].value == pytest.approx(expected), row.name
            assert found[row.name].quality is None
    assert found["Leak/BBox/X"].value == 10
    assert found["Leak/BBox/Height"].value == 400
    assert found["Leak/State"].timestamp_ms == bench.now.ms


def test_payloads_alias_data_cmd_requirement_data_has_neither_names_nor_datatypes(bench):
    _, said = bench.connect()
    names = aliases(said)
    (data,) = bench.look(Leak__State=1)
    assert verb(data) == "DDATA"
    assert data.qos == 0
    changed = read(data).metrics
    assert all(not m.name and m.datatype is None and m.timestamp_ms for m in changed)
    assert {names[m.alias] for m in changed} == {"Leak/State", "Leak/Active", "Leak/Suspect"}


def test_payloads_sequence_num_incrementing_over_the_wrap(bench):
    """payloads-sequence-num-zero-nbirth, -incrementing, operational-...-seq over 600 messages."""
    _, said = bench.connect()
    while len(said) < 600:
        said += bench.look(Leak__State=len(said) % 3)
        bench.wait(0.2)
    found = [read(each).seq for each in said]
    assert found == [number % 256 for number in range(len(said))]


def test_operational_behavior_data_publish_change_only(bench):
    """...-dbirth-change: what did not change is not said again, however often it is looked at."""
    bench.connect()
    at = bench.shown()
    assert bench.node.look(at, bench.now) == []
    bench.wait(100.0)
    same = dataclasses.replace(at.snapshot)
    again = dataclasses.replace(at, snapshot=same)
    assert bench.node.look(again, bench.now) == []


@pytest.mark.parametrize(
    ("change", "after_s", "told"),
    [
        ({"Leak__Score": 0.8225}, 1.0, False),  # within the deadband of 0.02
        ({"Leak__Score": 0.8425}, 0.1, True),
        ({"Leak__Score": 0.8225}, 61.0, True),  # but told in the end
        ({"Leak__AreaFraction": 0.0645}, 1.0, False),  # 5 % of the last one
        ({"Leak__AreaFraction": 0.067}, 0.1, True),
        ({"Leak__AreaPx": 70001}, 0.5, False),  # a counter, once a second
        ({"Leak__AreaPx": 70001}, 1.1, True),
        ({"Leak__State": 0}, 0.01, True),  # a state, at once
        ({"Camera__Frozen": True}, 0.01, True),
        ({"Mask__Data": b"GEM1"}, 0.3, False),  # two masks a second
        ({"Mask__Data": b"GEM1"}, 0.6, True),
        ({"Leak__Score": None}, 0.01, True),
    ],
)
def test_reports_by_exception_with_deadband(bench, change, after_s, told):
    said = bench.connect()[1]
    names = aliases(said)
    (name,) = (key.replace("__", "/") for key in change)
    bench.wait(after_s)
    later = bench.look(**change)
    found = {names[m.alias] for each in later for m in read(each).metrics}
    assert (name in found) is told


def test_masks_are_transient_and_can_be_left_out(plant):
    _, said = Bench(plant).connect()
    mask = named(said[1])["Mask/Data"]
    assert mask.transient
    assert mask.value == bytes(range(200))
    _, said = Bench(plant, masks=False).connect()
    assert "Mask/Data" not in named(said[1])


def test_payloads_propertyset_quality_of_a_blind_camera_is_never_good(bench):
    """Values of a camera that grew old are held and stale, then bad and unknown; health is told."""
    said = bench.connect()[1]
    names = aliases(said)
    bench.wait(1.0)
    stale = bench.look(age_s=0.9)
    found = {names[m.alias]: m for m in read(stale[0]).metrics}
    assert (found["Leak/State"].value, found["Leak/State"].quality) == (2, 500)
    assert found["Leak/State"].timestamp_ms == bench.now.ms  # said now, of a value from before
    assert (found["Health/DataGood"].value, found["Health/DataGood"].quality) == (False, None)
    bench.wait(2.0)
    bad = bench.look(quality=Quality.BAD, Health__Code=1)
    found = {names[m.alias]: m for m in read(bad[0]).metrics}
    assert (found["Leak/State"].value, found["Leak/State"].quality) == (255, 0)
    assert (found["Leak/Score"].value, found["Leak/Score"].quality) == (None, 0)
    assert (found["Health/NE107"].value, found["Health/NE107"].quality) == (1, None)
    bench.wait(1.0)
    good = bench.look(Leak__State=0)
    found = {names[m.alias]: m for m in read(good[0]).metrics}
    assert (found["Leak/State"].value, found["Leak/State"].quality) == (0, 192)


def test_operational_behavior_device_ddeath_when_the_frames_process_is_silent(bench):
    """It is said that all is bad, then that the device is dead; it is born again with what is."""
    said = bench.connect()[1]
    names = aliases(said)
    bench.wait(5.0)
    told = bench.look(silent=True)
    assert verbs(told) == ["DDATA", "DDEATH"]
    found = {names[m.alias]: m for m in read(told[0]).metrics}
    assert (found["Leak/State"].value, found["Leak/State"].quality) == (255, 0)
    assert read(told[1]).seq == read(told[0]).seq + 1  # payloads-ddeath-seq-inc
    assert bench.look(silent=True) == []
    bench.wait(1.0)
    again = bench.look()
    assert verbs(again) == ["DBIRTH"]
    assert named(again[0])["Leak/State"].value == 2


def test_operational_behavior_data_commands_rebirth_action(bench):
    """...-rebirth-action-1, -2, -3: data stops, all births come, with the same bdSeq and seq 0."""
    bench.connect(bd_seq=9)
    bench.wait(5.0)
    bench.look(Leak__State=1)
    said = bench.command(REBIRTH).out
    assert verbs(said) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert named(said[0])["bdSeq"].value == 9
    assert read(said[0]).seq == 0
    assert named(said[1])["Leak/State"].value == 1
    false = dataclasses.replace(REBIRTH, value=False)
    assert bench.command(false).out == ()


def test_a_command_that_the_broker_kept_is_refused(plant):
    """It would be obeyed anew at every connection, and acknowledge what nobody has seen."""
    bench = Bench(plant, commands=Role.OPERATOR)
    bench.connect()
    bench.wait(5.0)
    asked = Metric("Alarm/north.leak/Acknowledge", None, None, DataType.BOOLEAN, value=True)
    payload = encode_payload(Payload(1, (asked, REBIRTH)))
    topic = "spBv1.0/site/NCMD/box"
    kept = bench.node.heard(topic, payload, bench.now, retained=True)
    assert (kept.out, kept.actions) == ((), ())
    assert "retained" in kept.fault
    assert bench.node.heard(topic, payload, bench.now).actions


def test_a_storm_of_rebirth_requests_is_answered_once_a_second(bench):
    bench.connect()
    bench.wait(5.0)
    births = 0
    for _ in range(200):
        births += "NBIRTH" in verbs(bench.command(REBIRTH).out)
        assert verbs(bench.look(Leak__State=births % 3)).count("DDATA") == 0 or births
        births += "NBIRTH" in verbs(bench.node.turn(bench.now))
        bench.wait(0.01)
    assert births in (2, 3)


def test_message_flow_edge_node_birth_publish_phid_wait(plant):
    """Nothing is published before the primary host says that it is online."""
    bench = Bench(plant, host="scada")
    assert bench.connect()[1] == []
    assert bench.state(online=True, host="other").out == ()
    assert verbs(bench.state(online=True).out) == ["NBIRTH", "DBIRTH", "DBIRTH"]


def test_message_flow_edge_node_birth_publish_phid_offline(plant):
    """...-phid-wait-timestamp, -phid-offline: an older word is ignored, a newer one obeyed."""
    bench = Bench(plant, host="scada")
    bench.connect()
    bench.state(online=True, timestamp=UTC_MS)
    assert bench.state(online=False, timestamp=UTC_MS - 1).fault
    assert not bench.node.wants_to_leave
    bench.state(online=False, timestamp=UTC_MS)
    assert bench.node.wants_to_leave
    farewell = bench.node.farewell(bench.now)
    assert verbs(farewell) == ["NDEATH"]  # intentional-disconnect-ndeath
    assert named(farewell[0])["bdSeq"].value == 3
    bench.node.closed()
    assert bench.node.farewell(bench.now) == []


@pytest.mark.parametrize(
    "payload", [b"ONLINE", b"{}", b'{"online":1,"timestamp":1}', b'{"online":true}', b"\xff", b"[]"]
)
def test_a_state_that_is_not_understood_is_ignored(plant, payload):
    bench = Bench(plant, host="scada")
    bench.connect()
    assert bench.node.heard("spBv1.0/STATE/scada", payload, bench.now).fault
    assert bench.node.is_waiting_for_host


def test_alarms_are_metrics_of_the_node_and_told_as_they_change(bench):
    said = bench.connect()[1]
    assert named(said[0])["Alarm/north.leak/State"].value == 0
    names = aliases(said)
    alarm = next(each for each in bench.desk.alarms() if each.id == "north.failure")
    raised = dataclasses.replace(alarm, active=True, event_id="e1", changed_ns=10**18)
    (told,) = bench.node.alarm(raised, bench.now)
    assert verb(told) == "NDATA"
    found = {names[m.alias]: m.value for m in read(told).metrics}
    assert found == {"Alarm/north.failure/Active": True, "Alarm/north.failure/EventId": "e1"}
    assert read(told).metrics[0].timestamp_ms == 10**12
    assert bench.node.alarm(raised, bench.now) == []


def test_commands_are_off_by_default_and_then_carry_the_configured_role(plant):
    bench = Bench(plant)
    said = bench.connect()[1]
    assert not [name for name in named(said[0]) if name.endswith("/Acknowledge")]
    asked = Metric("Alarm/north.leak/Acknowledge", None, None, DataType.BOOLEAN, value=True)
    assert bench.command(asked).actions == ()
    bench = Bench(plant, commands=Role.OPERATOR)
    names = {metric: alias for alias, metric in aliases(bench.connect()[1]).items()}
    (action,) = bench.command(asked).actions
    assert (action.kind, action.alarm_id) == (ActionKind.ACKNOWLEDGE, "north.leak")
    assert (action.role, action.origin) == (Role.OPERATOR, "sparkplug NCMD")
    by_alias = Metric("", names["Alarm/south.leak/ShelveMinutes"], None, None, 30.0)
    (action,) = bench.command(by_alias).actions
    assert (action.kind, action.alarm_id, action.seconds) == (
        ActionKind.SHELVE,
        "south.leak",
        1800.0,
    )


@pytest.mark.parametrize(
    "metric",
    [
        Metric("Alarm/north.leak/Acknowledge", None, None, DataType.BOOLEAN, value=False),
        Metric("Alarm/north.leak/ShelveMinutes", None, None, DataType.FLOAT, -1.0),
        Metric("Alarm/north.leak/ShelveMinutes", None, None, DataType.FLOAT, float("nan")),
        Metric("Alarm/nobody.leak/Acknowledge", None, None, DataType.BOOLEAN, value=True),
        Metric("Leak/State", None, None, DataType.UINT8, 0),
        Metric("", 10**9, None, DataType.BOOLEAN, value=True),
    ],
)
def test_a_command_that_asks_nothing_does_nothing(plant, metric):
    bench = Bench(plant, commands=Role.ENGINEER)
    bench.connect()
    heard = bench.command(metric)
    assert (heard.out, heard.actions) == ((), ())


def test_devices_take_no_commands_and_nonsense_is_told_as_a_fault(bench):
    bench.connect()
    dcmd = bench.node.heard("spBv1.0/site/DCMD/box/north", b"", bench.now)
    assert "devices take no commands" in dcmd.fault
    assert bench.node.heard("spBv1.0/site/NCMD/box", b"\xff\xff", bench.now).fault
