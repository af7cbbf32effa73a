"""Sparkplug payloads: what we write, others read; what nobody wrote, we refuse."""

from __future__ import annotations

import base64
import json
import math
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from contract.errors import InputError
from edge_runtime.plant.sparkplug.wire import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)

NODE = Path(__file__).parent / "node"
NOW = 1_790_000_000_123
EVERY_TYPE = Payload(
    NOW,
    (
        Metric("a/u8", 1, NOW, DataType.UINT8, 255),
        Metric("a/u16", 2, NOW, DataType.UINT16, 65535),
        Metric("a/u64", 300, NOW, DataType.UINT64, 2**63 - 1),
        Metric("a/f", 5, NOW, DataType.FLOAT, -0.8125, unit="1/s", quality=192),
        Metric("a/yes", 6, NOW, DataType.BOOLEAN, value=True),
        Metric("a/no", 7, NOW, DataType.BOOLEAN, value=False),
        Metric("a/text", 8, NOW, DataType.STRING, "Größe µ"),
        Metric("a/time", 9, NOW, DataType.DATETIME, NOW),
        Metric("a/null", 10, NOW, DataType.FLOAT, None, quality=0),
        Metric("a/old", 11, NOW - 5000, DataType.UINT8, 0, historical=True, quality=500),
        Metric("m", 12, NOW, DataType.BYTES, bytes(range(256)), transient=True, content_type="x/g"),
        Metric("bdSeq", None, NOW, DataType.INT64, 255),
    ),
    seq=255,
)


@pytest.fixture(scope="module")
def cirrus():
    """Decodes with the npm package of Sparkplug's authors."""
    if shutil.which("node") is None or not (NODE / "node_modules/sparkplug-payload").is_dir():
        pytest.skip("needs node and `npm ci --ignore-scripts` in tests/plant/node")
    process = subprocess.Popen(
        ["node", "sparkplug.js"],
        cwd=NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def decode(data):
        process.stdin.write(base64.b64encode(data).decode() + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield decode
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_another_decoder_reads_every_type_flag_and_property(cirrus):
    said = cirrus(encode_payload(EVERY_TYPE))
    assert (int(said["timestamp"]), int(said["seq"])) == (NOW, 255)
    for sent, read in zip(EVERY_TYPE.metrics, said["metrics"], strict=True):
        assert read["name"] == sent.name
        assert int(read.get("alias") or 0) == (sent.alias or 0)
        assert int(read["timestamp"]) == sent.timestamp_ms
        assert read["type"].upper() == sent.datatype.name
        assert bool(read.get("isHistorical")) == sent.historical
        assert bool(read.get("isTransient")) == sent.transient
        value = read["value"]
        if sent.datatype is DataType.BYTES:
            assert base64.b64decode(value["base64"]) == sent.value
            assert read["metadata"]["contentType"] == "x/g"
            assert int(read["metadata"]["size"]) == 256
        elif sent.value is None:
            assert value is None
        elif sent.datatype in (DataType.UINT64, DataType.INT64, DataType.DATETIME):
            assert int(value) == sent.value
        else:
            assert value == sent.value
        quality = (read.get("properties") or {}).get("Quality")
        assert (quality or {}).get("value") == sent.quality
        if quality:
            assert quality["type"] == "Int32"


def test_tck_id_payloads_propertyset_quality_value_type_and_value():
    """The property's type is 3 and its value an int_value, byte for byte."""
    data = encode_payload(Payload(None, (Metric("a", 1, 2, DataType.UINT8, 3, quality=500),)))
    quality = b"\x0a\x07Quality" + b"\x12\x05" + b"\x08\x03" + b"\x18\xf4\x03"
    assert quality in data


def test_what_is_encoded_is_decoded_the_same():
    for with_types in (True, False):
        found = decode_payload(encode_payload(EVERY_TYPE, with_types=with_types))
        assert (found.timestamp_ms, found.seq) == (NOW, 255)
        for sent, read in zip(EVERY_TYPE.metrics, found.metrics, strict=True):
            assert read.datatype == (sent.datatype if with_types else None)
            assert (read.name, read.alias, read.value) == (sent.name, sent.alias, sent.value)
            assert (read.historical, read.transient) == (sent.historical, sent.transient)
            assert (read.timestamp_ms, read.quality) == (sent.timestamp_ms, sent.quality)


def test_no_bytes_from_outside_raise_anything_but_a_refusal():
    chance = random.Random(7)
    good = encode_payload(EVERY_TYPE)
    for _ in range(3000):
        data = bytearray(good[: chance.randrange(len(good) + 1)])
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            decode_payload(bytes(data))
        except InputError:
            continue
    with pytest.raises(InputError, match="are allowed"):
        decode_payload(bytes(2 << 20))


def test_numbers_of_commands_in_doubles_and_floats_are_read():
    eight = b"\x12\x0e" + b"\x0a\x03min" + b"\x69" + struct.pack("<d", 2.5)
    assert decode_payload(eight).metrics[0].value == 2.5
    four = b"\x12\x0a" + b"\x0a\x03min" + b"\x65" + struct.pack("<f", math.inf)
    assert decode_payload(four).metrics[0].value == math.inf


def as_capture(topic, payload):
    """A capture file with one MQTT PUBLISH in one TCP segment: libpcap, raw IPv4."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + payload
    size = bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    tcp = struct.pack(">HHIIBBHHH", 40000, 1883, 1, 1, 0x50, 0x18, 8192, 0, 0)
    data = tcp + b"\x30" + size + body
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 1, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
    )
    packet = ip + data
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    return head + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet


def test_wireshark_dissects_it(tmp_path):
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark (apt-get install tshark)")
    payload = encode_payload(EVERY_TYPE)
    capture = tmp_path / "one.pcap"
    capture.write_bytes(as_capture("spBv1.0/site/DBIRTH/box/north", payload))
    done = subprocess.run(
        ["tshark", "-r", capture, "-Y", "sparkplugb", "-V", "-d", "tcp.port==1883,mqtt"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "Malformed" not in said
    for words in ("DBIRTH", "site", "box", "north"):
        assert words in said, words
    for metric in EVERY_TYPE.metrics:  # without the schema it shows texts as their bytes
        assert metric.name.encode().hex() in said, metric.name
