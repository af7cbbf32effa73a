"""What a broker sends: acknowledgements of events and messages, through the real connection.

The first byte says who speaks: the events, whose records go once acknowledged, or the edge node.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import types
from pathlib import Path

from paho.mqtt import client as paho

from contract.roles import Role
from edge_runtime.database import Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.mqtt.config import EventsConfig, SparkplugConfig
from edge_runtime.plant.mqtt.connection import MqttConnection
from edge_runtime.plant.mqtt.event_body import _MASK_N
from edge_runtime.plant.mqtt.event_speaker import CONSUMER as EVENTS
from edge_runtime.plant.mqtt.event_speaker import EventSpeaker
from edge_runtime.plant.sparkplug.death_number import DeathNumber
from edge_runtime.plant.sparkplug.history import CONSUMER as SPARKPLUG
from edge_runtime.plant.sparkplug.history import History
from edge_runtime.plant.sparkplug.node import Identity
from edge_runtime.plant.sparkplug.speaker import SparkplugSpeaker
from tests.fuzz.box import CAMERAS, new_desk
from tests.fuzz.target import BrokenPromiseError, Target

RECORDS = 4
ACCEPTED = b"\x20\x02\x00\x00"
SUBSCRIBED = b"\x90\x05\x00\x01\x01\x01\x01"


def message(topic, payload, qos=0):
    number = b"\0\5" if qos else b""
    body = len(topic).to_bytes(2, "big") + topic.encode() + number + payload
    return bytes([0x30 | qos << 1, len(body)]) + body


def seeds():
    heard = [message("spBv1.0/s/NCMD/b", b"\x08\x01", qos) for qos in (0, 1, 2)]
    acknowledged = b"".join(b"\x40\x02" + bytes([0, n]) for n in range(1, RECORDS + 1))
    return [
        b"\0" + ACCEPTED + acknowledged,
        b"\0" + ACCEPTED + b"\x40\x02\0\2\x40\x02\0\1\x40\x02\0\x63",
        b"\0\x20\x02\x00\x05",
        b"\0" + ACCEPTED + b"\xd0\x00\x50\x02\0\1\x70\x02\0\1\xe0\x00",
        b"\1" + ACCEPTED + SUBSCRIBED + b"".join(heard) + b"\x62\x02\0\5",
        b"\1" + ACCEPTED + b"\x90\x05\x00\x01\x80\x01\x01",
        b"\1" + ACCEPTED + SUBSCRIBED + message("\ud7ff", b"", 0),
        b"\1" + ACCEPTED + b"\x30\xff\xff\xff\x7f",
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder, new_desk() as desk, Database(None) as database:
        consumers = {EVENTS: (Stream.EVENT, Stream.MASK), SPARKPLUG: (Stream.TELEMETRY,)}
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=1e9, consumers=consumers)
        config = EventsConfig(site="s", brokers=("mqtt://127.0.0.1:1",))
        events = EventSpeaker(config, outbox, box="b")
        node = SparkplugSpeaker(
            SparkplugConfig(group="s", node="b", brokers=("mqtt://127.0.0.1:1",)),
            Identity("s", "b", CAMERAS, {}, commands=Role.OPERATOR),
            desk.alarms(),
            History(outbox, window_s=20.0),
            DeathNumber(Path(folder) / "bdseq"),
            desk.act,
        )
        body = json.dumps({"type": "leak", "camera": "north", _MASK_N: None}).encode()
        with contextlib.ExitStack() as stack:
            lines = [stack.enter_context(MqttConnection(config, each)) for each in (events, node)]

            def run(data):
                while len(outbox.waiting(EVENTS, Stream.EVENT, RECORDS)) < RECORDS:
                    outbox.put(Stream.EVENT, body, 1)
                before = len(outbox.waiting(EVENTS, Stream.EVENT, 100))
                line = lines[data[0] % 2 if data else 0]
                converse(line, data[1:])
                gone = before - len(outbox.waiting(EVENTS, Stream.EVENT, 100))
                # PUBACK, or the PUBCOMP that a broker may send in its place
                if gone > sum(each >> 4 in (4, 7) for each in data):
                    raise BrokenPromiseError(
                        f"{gone} records are gone without as many acknowledgements"
                    )

            yield run


def converse(connection, data):
    """One connection to a broker that says `data`, whatever it hears, and goes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        class Client(paho.Client):
            def _create_socket_connection(self):
                return ours

        connection._mqtt = types.SimpleNamespace(
            Client=Client, CallbackAPIVersion=paho.CallbackAPIVersion, MQTTv311=paho.MQTTv311
        )
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        connection._converse(connection._addresses[0])


TARGET = Target("MQTT, event acknowledgements", opened, seeds, max_bytes=1024)
