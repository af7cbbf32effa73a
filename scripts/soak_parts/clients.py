"""Clients of every interface that ask without pause, each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faults_parts.opcua_client import serves_opcua

from tests.plant.mqtt_brokers import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults_parts.rig import Rig

__all__ = ["Load", "clients"]

_PAGE_S = 0.2
_AGAIN_S = 1.0  # after a failure


@dataclass
class Load:
    """One client and what it got."""

    name: str
    run: Callable[[Load], None]
    answers: int = 0
    failures: int = 0
    end: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Until the end; what fails is tried again."""
        while not self.end.is_set():
            try:
                self.run(self)
            except Exception:  # noqa: BLE001 - whatever a client's library throws is a failure
                self.failures += 1
                self.end.wait(_AGAIN_S)


@contextlib.contextmanager
def clients(rig: Rig) -> Iterator[list[Load]]:
    """All of them, until the end of the block; Modbus and events have theirs in the rig.

    Raises:
        WrongError: when OPC UA, which takes longest to begin, does not serve.
    """
    serves_opcua(rig, within_s=90)
    loads = [
        Load("page: state and picture", lambda load: _page(load, rig.page)),
        Load("page: metrics", lambda load: _metrics(load, rig.page)),
        Load("OPC UA: subscription", lambda load: asyncio.run(_opcua(load, rig.daemon.opcua))),
    ]
    threads = [threading.Thread(target=each.go_on, name=f"soak-{each.name}") for each in loads]
    sparkplug = Load("Sparkplug: messages", lambda _: None)
    with Listener(rig.broker.port, "spBv1.0/#") as heard:
        for thread in threads:
            thread.start()
        try:
            yield [*loads, sparkplug]
        finally:
            for load in loads:
                load.end.set()
            for thread in threads:
                thread.join()
            sparkplug.answers = len(heard.got)


def _page(load: Load, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        while not load.end.wait(_PAGE_S):
            for path in ("/state.json", "/camera/camera0.jpg"):
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                load.answers += 1
                load.failures += answer.status != http.HTTPStatus.OK


def _metrics(load: Load, port: int) -> None:
    while not load.end.wait(1.0):  # each by a connection of its own, as Prometheus may
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            answer.read()
            load.answers += 1
            load.failures += answer.status != http.HTTPStatus.OK


async def _opcua(load: Load, port: int) -> None:
    from asyncua import Client, ua

    class Taken:
        def datachange_notification(self, *_: object) -> None:
            load.answers += 1

    async with Client(f"opc.tcp://127.0.0.1:{port}/gasedge", timeout=10) as client:
        index = await client.get_namespace_index("urn:gasedge:model:1")
        names = ("Leak.State", "Leak.Score", "Frame.Seq", "Health.Heartbeat")
        nodes = [
            client.get_node(ua.NodeId(f"camera{camera}.{name}", index))
            for camera in (0, 1)
            for name in names
        ]
        subscription = await client.create_subscription(200, Taken())
        await subscription.subscribe_data_change(nodes)
        begin_s = time.monotonic()
        while not load.end.is_set() and time.monotonic() - begin_s < 60:  # then one comes anew
            await asyncio.sleep(0.2)
            await client.check_connection()
