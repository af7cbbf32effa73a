"""Sparkplug B payloads and what the edge node makes of them: commands, rebirths, a host's STATE.

The first byte says on which topic the rest comes.
"""

from __future__ import annotations

import contextlib

from contract.errors import InputError
from contract.roles import Role
from edge_runtime.database import Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.freshness import Limits, hear, published
from edge_runtime.plant.sparkplug.history import CONSUMER, History
from edge_runtime.plant.sparkplug.node import EdgeNode, Identity, Moment
from edge_runtime.plant.sparkplug.wire import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)
from tests.fuzz.box import CAMERAS, new_desk, snapshot
from tests.fuzz.target import BrokenPromiseError, Target

IDENTITY = Identity("site", "box", CAMERAS, {"Serial": "T1"}, host="scada", commands=Role.ENGINEER)
TOPICS = (
    IDENTITY.topic("NCMD"),
    IDENTITY.host_topic,
    IDENTITY.topic("DCMD", CAMERAS[0]),
    "spBv1.0/STATE/another",
)
_RESET = 500  # inputs of one node: a finding is tried again on a new one


def command(name, value, kind=DataType.BOOLEAN):
    return b"\0" + encode_payload(Payload(1, (Metric(name, 3, 4, kind, value),)))


def seeds():
    with new_desk() as desk:
        alarm = desk.alarms()[0].id
    every = [
        Metric("a", 1, 2, kind, value, quality=192, unit="%", content_type="x" * (kind == 17))
        for kind, value in (
            (DataType.INT32, -1),
            (DataType.DOUBLE, 0.5),
            (DataType.FLOAT, 0.5),
            (DataType.BYTES, b"abc"),
            (DataType.STRING, "abc"),
            (DataType.BOOLEAN, None),
        )
    ]
    return [
        command("Node Control/Rebirth", value=True),
        command(f"Alarm/{alarm}/Acknowledge", value=True),
        command(f"Alarm/{alarm}/ShelveMinutes", 60.0, DataType.FLOAT),
        b"\0" + encode_payload(Payload(1, tuple(every), seq=5)),
        b'\1{"online": true, "timestamp": 1790000000000}',
        b'\1{"online": false, "timestamp": 1790000000001}',
        b"\2" + command("Node Control/Rebirth", value=True)[1:],
    ]


class Session:
    """A node that stands, its host online."""

    def __init__(self, desk):
        self.desk = desk
        self.now = Moment(1000.0, 1_790_000_000_000)
        database = Database(None)
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=1e6, consumers={CONSUMER: [*Stream]})
        self.close = database.close
        self.node = EdgeNode(IDENTITY, desk.alarms(), History(outbox, window_s=20.0))
        self.node.will(3)
        self.node.can_send = True
        self.node.opened(self.now)
        for camera in CAMERAS:
            heard = hear(None, snapshot(camera), sent_ns=round(self.now.s * 1e9), age_ns=0)
            unit = CAMERAS.index(camera) + 1
            limits = Limits(3600.0, 7200.0)
            now_ns = round(self.now.s * 1e9)
            self.node.look(published(camera, unit, heard, now_ns=now_ns, limits=limits), self.now)
        self.node.heard(IDENTITY.host_topic, seeds()[4][1:], self.now)
        if not self.node.is_born:
            raise AssertionError("the node was not born: the target would test nothing")

    def hear(self, topic, payload):
        self.now = Moment(self.now.s + 0.5, self.now.ms + 500)
        heard = self.node.heard(topic, payload, self.now)
        for message in heard.out:
            if not topic.startswith("spBv1.0/STATE"):
                decode_payload(message.payload)
        for action in heard.actions:
            self.desk.act(action)


@contextlib.contextmanager
def opened():
    with new_desk() as desk:
        sessions = []

        def run(data):
            if run.count % _RESET == 0:
                while sessions:
                    sessions.pop().close()
                sessions.append(Session(desk))
            run.count += 1
            payload = data[1:]
            sessions[0].hear(TOPICS[data[0] % len(TOPICS)] if data else "", payload)
            with contextlib.suppress(InputError):
                seen = decode_payload(payload)
                if len(seen.metrics) > len(payload):
                    raise BrokenPromiseError(
                        f"{len(payload)} bytes became {len(seen.metrics)} metrics"
                    )

        run.count = 0
        yield run
        while sessions:
            sessions.pop().close()


TARGET = Target("Sparkplug B commands and STATE", opened, seeds)
