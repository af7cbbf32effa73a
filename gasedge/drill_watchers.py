"""What each configured interface shows while a drill is on, read as a client of the plant would.

Polled interfaces are asked every few milliseconds, MQTT is listened to. A drill is seen where the
camera's leak state is 2, and it must carry its mark there: a leak without one would be taken for
real.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.cookiejar
import json
import logging
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from contract.closing import Closing
from contract.errors import GasedgeError, InputError
from contract.packages import need
from contract.tags import HealthCode, LeakState, tag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_runtime.plant.config import (
        ModbusTlsConfig,
        OpcUaConfig,
        PageConfig,
        PlantConfig,
    )
    from edge_runtime.plant.mqtt.config import (
        Address,
        BrokersConfig,
        EventsConfig,
        SparkplugConfig,
    )

__all__ = ["Login", "Seen", "Watch", "watches"]

_POLL_S = 0.01
_ANSWER_S = 3.0
_BIRTH_S = 3.0
_URI = "urn:gasedge:drill"
_MAKING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Login:
    """Name and password for interfaces that ask for them; empty for none."""

    name: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an interface showed first of a leak."""

    at_ns: int  # monotonic
    is_marked: bool  # as a test


class Client(Protocol):
    """One interface as its client sees it; a context manager."""

    def look(self) -> tuple[int | None, bool]:
        """Leak state, None while unknown, and whether it is marked as a test."""

    def close(self) -> None:
        """Leave."""


class Watch:
    """Follows one interface in a thread of its own until it shows a leak, or is ended."""

    def __init__(self, name: str, connect: Callable[[], Client]) -> None:
        self.name = name
        self.seen: Seen | None = None
        self.fault = ""
        self._connect = connect
        self._ready, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"gasedge-drill-{name}", daemon=True)

    def start(self) -> None:
        """Connect; `wait_until_ready` says when that is done."""
        self._thread.start()

    def wait_until_ready(self) -> bool:
        """Whether the interface can be followed; `fault` says why not."""
        self._ready.wait()
        return not self.fault

    def end(self) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join(2 * _ANSWER_S)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to be seen."""
        return self.seen is not None or bool(self.fault)

    def _run(self) -> None:
        try:
            client = self._connect()
            try:
                client.look()
                self._ready.set()
                while not self._end.wait(_POLL_S):
                    state, is_marked = client.look()
                    if state == LeakState.LEAK:
                        self.seen = Seen(time.monotonic_ns(), is_marked)
                        return
            finally:
                client.close()
        except Exception as error:  # noqa: BLE001 - whatever a client's library throws is its fault
            self.fault = " ".join(str(error).split())[:200] or type(error).__name__
        finally:
            self._ready.set()


def watches(plant: PlantConfig, cameras: tuple[str, ...], camera: str, login: Login) -> list[Watch]:
    """One for each interface that the configuration has.

    Args:
        plant: where they listen.
        cameras: all of them; the first is Modbus unit 1.
        camera: which is followed.
        login: for the page and OPC UA, where they ask for it.
    """
    made: list[Watch] = []
    modbus, opcua, page = plant.modbus, plant.opcua, plant.page
    if modbus is not None:
        unit = cameras.index(camera) + 1
        made.append(Watch("modbus", lambda: _Modbus(modbus.host, modbus.port, unit)))
        if (tls := modbus.tls) is not None and plant.state_dir is not None:
            own = plant.state_dir
            made.append(
                Watch("modbus-tls", lambda: _Modbus(tls.host, tls.port, unit, _tls(tls, own)))
            )
    if opcua is not None:
        state_dir = plant.state_dir
        made.append(Watch("opcua", lambda: _OpcUa(opcua, camera, login, state_dir)))
    if page is not None:
        state_dir = plant.state_dir
        made.append(Watch("page", lambda: _Page(page, camera, login, state_dir)))
    sparkplug, events = plant.sparkplug, plant.events
    if sparkplug is not None:
        node = sparkplug.node or plant.serial
        made.append(Watch("sparkplug", lambda: _Sparkplug(sparkplug, node, camera)))
    if events is not None:
        box = events.box or plant.serial
        made.append(Watch("events", lambda: _Events(events, box, camera)))
    return made


def _reached(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nobody listens here


def _is_test(code: object) -> bool:
    return bool(int(cast("int", code or 0)) & HealthCode.DRILL)


def _own_certificate(state_dir: Path) -> tuple[Path, Path]:
    """The drill's certificate (.der) and key (.pem) as a client; two watches may ask at once."""
    own = need("edge_runtime.plant.device_certificate", extra="scada")
    with _MAKING:
        certificate, key = own.device_certificate(state_dir / "drill", _URI)
    return certificate, key


def _tls(config: ModbusTlsConfig, state_dir: Path) -> ssl.SSLContext:
    """Shows the drill's certificate, and believes the device's own."""
    from contract.private_file import write_private

    certificate, key = _own_certificate(state_dir)
    chain = certificate.with_suffix(".pem")
    write_private(chain, ssl.DER_cert_to_PEM_cert(certificate.read_bytes()).encode())
    context = ssl.create_default_context(cafile=config.certificate)
    context.check_hostname = False  # it is asked by its address; the certificate is known
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(chain, key)
    return context


class _Modbus(Closing):
    """One request for the whole block: state and mark are of one instant."""

    def __init__(self, host: str, port: int, unit: int, tls: ssl.SSLContext | None = None) -> None:
        self._unit = unit
        self._nothing = "nothing"
        self._socket = socket.create_connection((_reached(host), port), timeout=_ANSWER_S)
        if tls is not None:
            self._nothing = "nothing; its folder trusted must hold the drill's certificate"
            self._socket = tls.wrap_socket(self._socket)
        self._stream = self._socket.makefile("rb")

    def look(self) -> tuple[int | None, bool]:
        self._socket.sendall(struct.pack(">HHHBBHH", 1, 0, 6, self._unit, 4, 0, 8))
        head = self._stream.read(9)
        if len(head) < 9 or head[7] != 4:
            raise InputError(f"Modbus answered {head.hex() or self._nothing}")
        words = struct.unpack(">8H", self._stream.read(16))
        at = tag("Health/Code").register or 0
        return words[tag("Leak/State").register or 0], _is_test(words[at] << 16 | words[at + 1])

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class _Page(Closing):
    """`/state.json`, after a log-in where users are configured."""

    def __init__(
        self, config: PageConfig, camera: str, login: Login, state_dir: Path | None
    ) -> None:
        self._camera = camera
        scheme = "https" if config.is_encrypted else "http"
        self._base = f"{scheme}://{_reached(config.host)}:{config.port}"
        handlers: list[Any] = [urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())]
        if config.is_encrypted:
            own = config.certificate or (state_dir / "page.pem" if state_dir else None)
            context = ssl.create_default_context(cafile=own)
            context.check_hostname = False  # it is asked by its address; the certificate is known
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        if config.users is not None:
            body = json.dumps({"name": login.name, "password": login.password}).encode()
            self._ask("/login", body)

    def look(self) -> tuple[int | None, bool]:
        cameras = json.loads(self._ask("/state.json"))["cameras"]
        tags = next(each["tags"] for each in cameras if each["camera"] == self._camera)
        return tags["Leak/State"], _is_test(tags["Health/Code"])

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"Origin": self._base, "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, body, headers)  # noqa: S310 - http only
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as answer:
                data: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise InputError(f"{path}: {error.code} {error.read(200).decode().strip()}") from error
        return data

    def close(self) -> None:
        self._opener.close()


class _OpcUa(Closing):
    """Both values by one read, over a session of its own."""

    def __init__(
        self, config: OpcUaConfig, camera: str, login: Login, state_dir: Path | None
    ) -> None:
        sync = need("asyncua.sync", extra="scada")
        logging.getLogger("asyncua").setLevel(logging.ERROR)  # it tells of each read
        self._client = sync.Client(
            f"opc.tcp://{_reached(config.host)}:{config.port}/gasedge", timeout=_ANSWER_S
        )
        try:
            if config.security == "encrypted":
                self._encrypt(config, login, state_dir)
            self._client.connect()
            index = self._client.get_namespace_index("urn:gasedge:model:1")
            names = ("Leak.State", "Health.Code")
            self._nodes = [self._client.get_node(f"ns={index};s={camera}.{each}") for each in names]
        except BaseException:
            self._client.tloop.stop()
            raise

    def _encrypt(self, config: OpcUaConfig, login: Login, state_dir: Path | None) -> None:
        if not login.name:
            raise InputError("asks for a user: give --user, and the password when asked")
        if state_dir is None:
            raise InputError("needs [plant] state_dir, for this client's own certificate")
        policies = need("asyncua.crypto.security_policies", extra="scada")
        certificate, key = _own_certificate(state_dir)
        self._client.aio_obj.application_uri = _URI
        self._client.set_user(login.name)
        self._client.set_password(login.password)
        self._client.set_security(
            policies.SecurityPolicyBasic256Sha256,
            str(certificate),
            str(key),
            server_certificate=str(config.state_dir / "opcua.der"),
        )

    def look(self) -> tuple[int | None, bool]:
        state, code = self._client.read_values(self._nodes)
        return state, _is_test(code)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.disconnect()  # which ends its loop, too


class _Mqtt(Closing):
    """A subscription at every broker that answers; what came last is what `look` gives.

    The device is at one of them, and not at the first where that was away for a while.
    """

    def __init__(self, config: BrokersConfig, topics: tuple[str, ...]) -> None:
        self._latest: tuple[int | None, bool] = (None, False)
        self._clients: list[Any] = []
        faults = []
        for address in config.addresses():
            try:
                self._join(config, address, topics)
            except (OSError, InputError) as error:
                faults.append(f"{address}: {error}")
        if not self._clients:
            raise InputError("; ".join(faults))

    def _join(self, config: BrokersConfig, address: Address, topics: tuple[str, ...]) -> None:
        mqtt = need("paho.mqtt.client", extra="scada")
        from edge_runtime.plant.mqtt.config import credentials

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect_timeout = _ANSWER_S
        if config.credentials_file is not None:
            client.username_pw_set(*credentials(config.credentials_file))
        if address.tls:
            ca = None if config.ca_file is None else str(config.ca_file)
            client.tls_set_context(ssl.create_default_context(cafile=ca))
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _client, _data, message: self._took(
            message.topic, message.payload
        )
        client.connect(address.host, address.port)
        client.loop_start()
        client.subscribe([(each, 1) for each in topics])
        if not subscribed.wait(_ANSWER_S):
            client.disconnect()
            client.loop_stop()
            raise InputError("did not take the subscription")
        self._clients.append(client)

    @abstractmethod
    def _took(self, topic: str, payload: bytes) -> None:
        """Take in a message."""

    def look(self) -> tuple[int | None, bool]:
        return self._latest

    def close(self) -> None:
        for each in self._clients:
            each.disconnect()
            each.loop_stop()


class _Sparkplug(_Mqtt):
    """Births name the aliases that data use, so a rebirth is asked for first."""

    def __init__(self, config: SparkplugConfig, node: str, camera: str) -> None:
        self._camera = camera
        self._names: dict[int, str] = {}
        self._values: dict[str, Any] = {}
        self._born = threading.Event()
        root = f"spBv1.0/{config.group}"
        topics = (f"{root}/DBIRTH/{node}/{camera}", f"{root}/DDATA/{node}/{camera}")
        super().__init__(config, topics)
        wire = need("edge_runtime.plant.sparkplug.wire", extra="scada")
        rebirth = wire.Metric("Node Control/Rebirth", datatype=wire.DataType.BOOLEAN, value=True)
        request = wire.Payload(time.time_ns() // 1_000_000, (rebirth,))
        for each in self._clients:
            each.publish(f"{root}/NCMD/{node}", wire.encode_payload(request), qos=0)
        if not self._born.wait(_BIRTH_S):
            self.close()
            raise InputError("no birth certificate came: the edge node is at none of the brokers")

    def _took(self, topic: str, payload: bytes) -> None:
        wire = need("edge_runtime.plant.sparkplug.wire", extra="scada")
        try:
            told = wire.decode_payload(payload)
        except GasedgeError:
            return
        for metric in told.metrics:
            if metric.alias is not None and metric.name:
                self._names[metric.alias] = metric.name
            if not metric.historical:
                self._values[metric.name or self._names.get(metric.alias, "")] = metric.value
        self._latest = self._values.get("Leak/State"), _is_test(self._values.get("Health/Code"))
        if "/DBIRTH/" in topic:
            self._born.set()


class _Events(_Mqtt):
    """The event that says that a leak alarm of the camera began."""

    def __init__(self, config: EventsConfig, box: str, camera: str) -> None:
        self._began_s = time.time()
        super().__init__(config, (f"gasedge/v1/{config.site}/{box}/{camera}/event",))

    def _took(self, topic: str, payload: bytes) -> None:
        del topic
        with contextlib.suppress(ValueError):
            event = json.loads(payload)
            if event.get("type") != "leak_on" or event.get("zone") is not None:
                return
            told = dt.datetime.fromisoformat(event["t_event"].replace("Z", "+00:00"))
            if told.timestamp() >= self._began_s:  # what waited in the outbox is of another leak
                self._latest = LeakState.LEAK.value, bool(event.get("test"))
