"""Every tag of the one table, through every protocol, read by clients that share no code with us.

What was sent is compared with what arrives: value, quality and time. A tag that a protocol does not
carry fails here.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from contract.alarms import AlarmState
from contract.tags import MAP_VERSION, TAGS, Quality, TagType
from edge_runtime.plant.sparkplug.wire import DataType, Metric, Payload, encode_payload
from tests.plant.mqtt_brokers import Listener, mosquitto
from tests.plant.node_opcua import Client

pytest.importorskip("asyncua")
pytest.importorskip("paho.mqtt.client")

NODE = Path(__file__).parent / "node"
TEXTS = (TagType.TEXT, TagType.BYTES)
SEEN = ("Leak", "Zone", "Frame", "Mask", "Drift")  # groups whose values are of a frame
MOVING = ("Frame/AgeMs", "Outbox/OldestAgeS", "Leak/DurationS")  # grow while we read
PERIOD_S = 0.1
OPC_UA_STATUS = {
    Quality.GOOD: "Good",
    Quality.UNCERTAIN: "UncertainSensorNotAccurate",
    Quality.BAD: "BadSensorFailure",
}
SPARKPLUG_QUALITY = {Quality.GOOD: 192, Quality.UNCERTAIN: 192, Quality.BAD: 0}


class Sender:
    """Sends one snapshot after another; each has its own number and time."""

    def __init__(self, plant, quality):
        self.plant, self.quality = plant, quality
        self.times = {}

    def __call__(self):
        now_ns = time.time_ns() // 1_000_000 * 1_000_000
        seq = 2**40 + len(self.times)
        self.times[seq] = now_ns
        return self.plant.snapshot(
            quality=self.quality,
            source_time_ns=now_ns,
            Frame__Seq=seq,
            Frame__CaptureTime=now_ns,
            Health__NE107=1 if self.quality is Quality.BAD else 0,
            Health__Code=2 if self.quality is Quality.BAD else 0,
        )


@pytest.fixture(scope="module")
def served(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plant")
    with mosquitto(folder / "broker") as broker:
        top = (
            f'state_dir = "{folder / "state"}"\n'
            f'[sparkplug]\ngroup = "site"\nbrokers = ["{broker.url}"]\nkeepalive_s = 2\n'
        )
        with plant.run(folder / "g", serve=("modbus", "opcua"), top=top) as gateway:
            client = Client.made(folder / "client", plant.user, plant.password)
            client.endpoint = f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge"
            try:
                yield gateway, broker, client
            finally:
                client.close()


@pytest.fixture(scope="module", params=[Quality.GOOD, Quality.UNCERTAIN, Quality.BAD])
def read(request, plant, served):
    """What all three protocols showed while one quality was sent."""
    gateway, broker, client = served
    sender = Sender(plant, request.param)
    with (
        Listener(broker.port) as host,
        plant.speak(gateway, sender, period_s=PERIOD_S),
    ):
        settled = {5: request.param, 26: AlarmState.NORM}
        if request.param is Quality.BAD:
            settled[26] = AlarmState.UNACK
        else:
            settled |= {2: 2, 3: AlarmState.UNACK}
        plant.until(
            lambda: all(modbus_words(gateway, place, 1)[0] == n for place, n in settled.items()),
            within_s=20,
        )
        depth = tag_of("Outbox/Depth")  # else it empties while we read
        plant.until(
            lambda: modbus_words(gateway, depth.register, depth.words) == [0, 0], within_s=20
        )
        time.sleep(3 * PERIOD_S)
        opcua = client("read", *(node_id(tag) for tag in TAGS))
        modbus = by_modbus_serial(gateway)
        sparkplug = by_sparkplug_payload(plant, host)
    return request.param, sender, opcua, modbus, sparkplug


def node_id(tag):
    return f"ns=2;s=north.{tag.name.replace('/', '.')}"


def modbus_words(gateway, first, count):
    """As mbpoll reads them; it counts from 1."""
    if shutil.which("mbpoll") is None:
        pytest.skip("needs mbpoll (apt)")
    words = ("-m", "tcp", "-a", "1", "-t", "3:hex", "-1", "-p", str(gateway.ports["modbus"]))
    done = subprocess.run(
        ["mbpoll", *words, "-r", str(first + 1), "-c", str(count), "127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == count, done.stdout + done.stderr
    return [int(line[-1], 16) for line in lines]


def by_modbus_serial(gateway):
    done = subprocess.run(
        ["node", NODE / "modbus.js", str(gateway.ports["modbus"]), "1"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_sparkplug_payload(plant, host):
    """The metrics of a birth that is asked for now, by name."""
    before = len(host.of("DBIRTH"))
    rebirth = Metric("Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
    asked = encode_payload(Payload(time.time_ns() // 1_000_000, (rebirth,)))
    host.publish("spBv1.0/site/NCMD/T1", asked, qos=0)
    births = plant.until(
        lambda: [each for each in host.of("DBIRTH")[before:] if each.topic.endswith("/north")]
    )
    done = subprocess.run(
        ["node", NODE / "sparkplug.js"],
        input=base64.b64encode(births[0].payload).decode() + "\n",
        capture_output=True,
        text=True,
        timeout=20,
    )
    said = json.loads(done.stdout)
    assert "error" not in said
    return {metric["name"]: metric for metric in said["metrics"]}


def expected(quality, sender, seq):
    """Value of every tag, None while it is unknown; what only the plant process knows is not in."""
    now_ns = sender.times[seq]
    values = {
        **sender.plant.snapshot().values,
        "Frame/Seq": seq,
        "Frame/CaptureTime": now_ns,
        "Leak/Active": True,
        "Leak/Suspect": False,
        "Health/NE107": 0,
        "Health/Fault": False,
        "Health/Maintenance": False,
        "Health/DataGood": quality is Quality.GOOD,
        "Health/Quality": int(quality),
        "Health/Heartbeat": 7,
    }
    if quality is Quality.BAD:
        unknown = {tag.name: tag.unknown for tag in TAGS}
        blind = {
            name: unknown[name] for name in values if name.startswith(("Leak", "Zone", "Mask"))
        }
        blind |= {name: unknown[name] for name in values if name.startswith("Drift")}
        stopped = {"Frame/Fps": 0.0, "Frame/LatencyP99Ms": None}
        failed = {"Health/NE107": 1, "Health/Code": 2, "Health/Fault": True}
        values |= blind | stopped | failed
    return values


def number_64(said):
    """A 64-bit number as node-opcua prints it."""
    return (said[0] << 32) + said[1]


def milliseconds(text):
    return round(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def from_opcua(tag, value):
    """A value as node-opcua prints it, as the table has it."""
    if value is None:
        return None
    if tag.type is TagType.TIME:
        return milliseconds(value) * 1_000_000
    if tag.type is TagType.BYTES:
        return base64.b64decode(value["base64"])
    if tag.type is TagType.BOX:
        return tuple(value)
    return number_64(value) if tag.type is TagType.U64 else value


def from_sparkplug(tag, metrics):
    """A value as Sparkplug's own decoder gives it, as the table has it."""
    if tag.type is TagType.BOX:
        parts = [metrics[f"{tag.name}/{part}"]["value"] for part in ("X", "Y", "Width", "Height")]
        return None if parts[0] is None else tuple(parts)
    value = metrics[tag.name]["value"]
    if value is None:
        return None
    if tag.type is TagType.TIME:
        return milliseconds(value) * 1_000_000 if "T" in str(value) else int(value) * 1_000_000
    if tag.type is TagType.BYTES:
        return base64.b64decode(value["base64"])
    return int(value) if tag.type in (TagType.U32, TagType.U64) else value


def from_modbus(tag, words):
    """A value out of its registers, as a master's engineer would unpack it."""
    own = words[tag.register : tag.register + tag.words]
    raw = struct.pack(f">{tag.words}H", *own)
    if tag.type is TagType.F32:
        value = struct.unpack(">f", raw)[0]
        return None if math.isnan(value) else value
    if set(own) == {0xFFFF}:
        return None
    if tag.type is TagType.BOX:
        return tuple(own)
    if tag.type is TagType.TEXT:
        return raw.hex()
    number = int.from_bytes(raw, "big")
    return number * 1_000_000 if tag.type is TagType.TIME else number


def null_where_bad(tag, value, quality):
    """OPC UA shows no value where quality is bad, rather than one that means it."""
    blind = tag.name.startswith(SEEN) and not tag.own
    return None if quality is Quality.BAD and blind else value


def test_every_tag_has_a_place_in_every_protocol(read):
    _, _, opcua, modbus, sparkplug = read
    missing = [tag.name for tag in TAGS if opcua[node_id(tag)]["status"].startswith("BadNode")]
    assert missing == [], "OPC UA"
    names = {name.removesuffix("/X") for name in sparkplug}
    assert [tag.name for tag in TAGS if tag.name not in names] == [], "Sparkplug"
    placed = [
        tag.name
        for tag in TAGS
        if (tag.register, tag.scaled_register, tag.discrete) != (None, None, None)
    ]
    left_out = [tag.name for tag in TAGS if tag.name not in placed and tag.type not in TEXTS]
    assert left_out == [], "Modbus"
    assert modbus["words"][0] == MAP_VERSION


def test_every_value_arrives_through_opc_ua(read):
    quality, sender, opcua, _, _ = read
    last = opcua[node_id(tag_of("Frame/Seq"))]["value"]
    assert (last is None) == (quality is Quality.BAD)
    seq = max(sender.times) if last is None else number_64(last)
    sent = expected(quality, sender, seq)
    for tag in TAGS:
        found = opcua[node_id(tag)]
        group = tag.name.partition("/")[0]
        if tag.name in sent:
            wanted = null_where_bad(tag, sent[tag.name], quality)
            assert from_opcua(tag, found["value"]) == wanted, tag.name
        seen = group in SEEN and not tag.own
        assert found["status"] == (OPC_UA_STATUS[quality] if seen else "Good"), tag.name
        if seen and found["value"] is not None:
            assert abs(milliseconds(found["source"]) - sender.times[seq] / 1e6) <= 1, tag.name


def test_every_value_arrives_through_modbus(read):
    quality, sender, _, modbus, _ = read
    words, bits = modbus["words"], modbus["bits"]
    seq = from_modbus(tag_of("Frame/Seq"), words)
    sent = expected(quality, sender, seq)
    for tag in TAGS:
        if tag.name not in sent or tag.name in MOVING:
            continue
        value = sent[tag.name]
        if tag.register is not None:
            wanted = value[: 4 * tag.words] if tag.type is TagType.TEXT else value
            assert from_modbus(tag, words) == wanted, tag.name
        if tag.scaled_register is not None:
            scaled = 0xFFFF if value is None else min(round(value * tag.scale), 0xFFFF)
            assert words[tag.scaled_register] == scaled, tag.name
        if tag.discrete is not None:
            assert bits[tag.discrete] == bool(int(value or 0) & 1), tag.name
    assert from_modbus(tag_of("Frame/CaptureTime"), words) == sender.times[seq]
    assert words[5] == quality
    assert bits[4] == (quality is Quality.GOOD)
    assert modbus["refused"] == {"write": 1, "beyond": 2}
    assert modbus["identity"]["0"] == "gasedge"


def test_every_value_arrives_through_sparkplug(read):
    quality, sender, _, _, sparkplug = read
    seq = int(sparkplug["Frame/Seq"]["value"])
    sent = expected(quality, sender, seq)
    for tag in TAGS:
        name = f"{tag.name}/X" if tag.type is TagType.BOX else tag.name
        group = tag.name.partition("/")[0]
        seen = group in SEEN and not tag.own
        if tag.name in sent:
            assert from_sparkplug(tag, sparkplug) == sent[tag.name], tag.name
        said = sparkplug[name].get("properties", {}).get("Quality", {"value": 192})["value"]
        assert said == (SPARKPLUG_QUALITY[quality] if seen else 192), tag.name
        if seen and quality is not Quality.BAD and from_sparkplug(tag, sparkplug) is not None:
            assert abs(int(sparkplug[name]["timestamp"]) - sender.times[seq] / 1e6) <= 1, tag.name


def test_what_only_the_plant_process_knows_is_the_same_in_all(read):
    _, _, opcua, modbus, sparkplug = read
    for tag in TAGS:
        if not tag.own or tag.name in MOVING:
            continue
        one = from_opcua(tag, opcua[node_id(tag)]["value"])
        assert from_sparkplug(tag, sparkplug) == one, tag.name
        if tag.register is not None:
            assert from_modbus(tag, modbus["words"]) == one, tag.name
        if tag.discrete is not None:
            assert modbus["bits"][tag.discrete] == bool(one), tag.name


def tag_of(name):
    return next(tag for tag in TAGS if tag.name == name)
