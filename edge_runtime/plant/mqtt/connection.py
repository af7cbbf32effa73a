"""One MQTT connection in a thread of its own, from broker to broker for as long as it takes.

What is said and heard is a `Speaker`'s business, who lives in that thread alone. A broker that is
dead, refuses or swallows everything costs whoever hands things to the speaker nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from contract.closing import Closing
from contract.errors import ConfigError
from contract.packages import need
from edge_runtime.plant.mqtt.config import credentials
from edge_runtime.reconnect import back_off_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from edge_runtime.plant.mqtt.config import Address, BrokersConfig

__all__ = ["Line", "Message", "MqttConnection", "Speaker"]

_log = logging.getLogger(__name__)

_CONNECT_S = 3.0
_GREETING_S = 5.0  # until the broker has accepted us and our subscriptions
_FAREWELL_S = 1.0
_STEADY_S = 10.0  # a connection that stood so long was no failure
_CAP_S = 5.0  # between two rounds through all brokers
_MAX_READS = 100  # of one turn


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it goes out."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Line(Protocol):
    """What a speaker may do with a connection that stands."""

    @property
    def busy(self) -> bool:
        """Whether the network does not take what was said before."""

    def say(self, message: Message) -> int:
        """Hand over a message; answers its number, which comes back once it is acknowledged."""

    def leave(self) -> None:
        """End this connection in order and go on to the next broker."""


class Speaker(Protocol):
    """What one interface says and hears; all calls come from its connection's thread."""

    client_id: str

    def before(self) -> Message | None:
        """The will of the connection that is about to be made."""

    def unreached(self) -> None:
        """No broker was there to be told that will."""

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Topic filters and their QoS."""

    def opened(self, line: Line) -> None:
        """The broker accepted the connection and the subscriptions."""

    def heard(self, line: Line, topic: str, payload: bytes) -> None:
        """A message came."""

    def acknowledged(self, number: int) -> None:
        """The broker has taken responsibility for a message of QoS 1."""

    def turn(self, line: Line | None) -> float:
        """Do what is due, without a line too; answers the seconds until the next turn."""

    def farewell(self, line: Line) -> None:
        """Say what must be said before the connection is ended on purpose."""

    def closed(self) -> None:
        """The connection is gone, however that came about."""


class MqttConnection(Closing):
    """Keeps a speaker connected, with one thread once it was started.

    Args:
        config: brokers and how to enter.
        speaker: what is said over the connection.

    Raises:
        ConfigError: when credentials or the authority's certificate cannot be used.
        MissingPackageError: when paho-mqtt is not installed.
    """

    def __init__(self, config: BrokersConfig, speaker: Speaker) -> None:
        self._mqtt = need("paho.mqtt.client", extra="scada")
        self._speaker = speaker
        self._addresses = config.addresses()
        self._keepalive_s = config.keepalive_s
        self._credentials = (
            credentials(config.credentials_file) if config.credentials_file else None
        )
        self._tls = _tls_context(config) if any(each.tls for each in self._addresses) else None
        self._closed = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waking = threading.Lock()  # nobody writes to a number that names another file by now
        self._at: Address | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"gasedge-mqtt-{speaker.client_id}", daemon=True
        )

    def start(self) -> Self:
        """Begin to connect."""
        self._thread.start()
        return self

    @property
    def has_ended(self) -> bool:
        """Whether the thread is gone: the speaker is then anybody's."""
        return not self._thread.is_alive()

    @property
    def connected_to(self) -> Address | None:
        """The broker at the other end, None while there is none."""
        return self._at

    def wake(self) -> None:
        """Give the speaker a turn soon; any thread may call this, and it never waits."""
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def end_soon(self) -> None:
        """Begin to close, without waiting for the end."""
        self._closed.set()
        self.wake()

    def close(self) -> None:
        """Say farewell and end the thread; closing twice is harmless."""
        if self._wake < 0:
            return
        self.end_soon()
        if self._thread.ident is not None:
            self._thread.join(_CONNECT_S + _FAREWELL_S)
        if self._thread.is_alive():
            _log.warning("%s hangs in its network and is left behind", self._speaker.client_id)
            return
        with self._waking:
            os.close(self._wake)
            self._wake = -1

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            for address in self._addresses:
                if self._closed.is_set():
                    break
                stood_s = self._converse(address, first=not failures)
                failures = 0 if stood_s >= _STEADY_S else failures + 1
            rounds = max(1, failures // len(self._addresses))
            self._rest(back_off_s(rounds, random.random(), cap_s=_CAP_S))

    def _rest(self, seconds: float) -> None:
        """Give the speaker its turns while there is no line."""
        until_s = time.monotonic() + seconds
        while not self._closed.is_set() and (left_s := until_s - time.monotonic()) > 0:
            self._wait(None, min(left_s, self._speaker.turn(None)))

    def _converse(self, address: Address, *, first: bool) -> float:
        """Connect and stay for as long as the connection stands; answers for how many seconds."""
        line = _PahoLine(self._mqtt, self._speaker, self._keepalive_s)
        try:
            try:
                line.connect(address, self._credentials, self._tls if address.tls else None)
            except OSError:
                self._speaker.unreached()
                raise
            self._stay(line, address)
        except OSError as error:
            line.fault = line.fault or str(error)
        finally:
            self._at = None
            line.drop()
        if line.stood_since is None:
            log = _log.warning if first else _log.debug
            log("%s: no connection to %s (%s)", self._speaker.client_id, address, line.fault)
            return 0.0
        self._speaker.closed()
        _log.warning(
            "%s: connection to %s ended (%s)", self._speaker.client_id, address, line.fault
        )
        return time.monotonic() - line.stood_since

    def _stay(self, line: _PahoLine, address: Address) -> None:
        give_up_s = time.monotonic() + _GREETING_S
        while not line.is_gone:
            if self._closed.is_set() or line.leaving:
                line.fault = line.fault or "on purpose"
                if line.stood_since is not None:
                    self._speaker.farewell(line)
                line.hang_up()
                return
            if line.stood_since is None:
                if time.monotonic() > give_up_s:
                    line.fault = "it does not answer"
                    return
                wait_s = 0.1
                self._speaker.turn(None)
            else:
                if self._at is None:
                    self._at = address
                    _log.info("%s: connected to %s", self._speaker.client_id, address)
                wait_s = self._speaker.turn(line)
            self._wait(line, wait_s)

    def _wait(self, line: _PahoLine | None, seconds: float) -> None:
        """Until something comes, somebody wakes us or time is over; then handle what came."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        handle = line.handle() if line is not None else None
        if line is not None and handle is not None:
            wants = select.POLLIN | (select.POLLOUT if line.has_unsent else 0)
            poll.register(handle, wants)
        ready = dict(poll.poll(max(0, int(seconds * 1000))))
        if self._wake in ready:
            with contextlib.suppress(OSError):
                os.eventfd_read(self._wake)
        if line is not None:
            line.handle_network(ready.get(handle, 0) if handle is not None else 0)


class _PahoLine:
    """One connection of paho's, driven by hand: its own threads would hide when it writes."""

    def __init__(self, mqtt: Any, speaker: Speaker, keepalive_s: int) -> None:
        self.fault = ""
        self.leaving = False
        self._refused = False
        self.stood_since: float | None = None  # monotonic, once accepted
        self._speaker = speaker
        self._keepalive_s = keepalive_s
        self._unheard: set[int] = set()  # messages of QoS 1
        self._client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=speaker.client_id,
            clean_session=True,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(0xFFFF)  # the speaker minds how many
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def connect(
        self, address: Address, who: tuple[str, str] | None, tls: ssl.SSLContext | None
    ) -> None:
        will = self._speaker.before()
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        if who is not None:
            self._client.username_pw_set(*who)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.connect(address.host, address.port, self._keepalive_s)

    @property
    def is_gone(self) -> bool:
        return self._refused or self._client.socket() is None

    @property
    def busy(self) -> bool:
        handle = self.handle()
        if handle is None or not self.has_unsent:
            return False
        poll = select.poll()
        poll.register(handle, select.POLLOUT)
        return not poll.poll(0)

    @property
    def has_unsent(self) -> bool:
        """Whether something waits to be written, as it always does inside a callback."""
        return bool(self._client.want_write())

    def say(self, message: Message) -> int:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if message.qos:
            self._unheard.add(info.mid)
        return int(info.mid)

    def leave(self) -> None:
        self.leaving = True

    def handle(self) -> int | None:
        socket = self._client.socket()
        return None if socket is None else int(socket.fileno())

    def handle_network(self, ready: int) -> None:
        if ready & (select.POLLIN | select.POLLHUP | select.POLLERR):
            for _ in range(_MAX_READS):
                self._client.loop_read()
                socket = self._client.socket()
                # what TLS holds already decrypted, no poll will ever show
                if socket is None or not (hasattr(socket, "pending") and socket.pending()):
                    break
        if self.has_unsent:  # what callbacks said is only queued
            self._client.loop_write()
        self._client.loop_misc()

    def hang_up(self) -> None:
        """DISCONNECT, once all that was said before is out, within a bound."""
        self._client.disconnect()
        give_up_s = time.monotonic() + _FAREWELL_S
        while not self.is_gone and self.has_unsent and time.monotonic() < give_up_s:
            handle = self.handle()
            if handle is not None:
                select.select([], [handle], [], 0.1)
            self._client.loop_write()

    def drop(self) -> None:
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def _on_connect(self, client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._refuse(f"it refuses us: {code}")
            return
        topics = list(self._speaker.subscriptions())
        if topics:
            client.subscribe(topics)
        else:
            self._stands()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: Any, _more: Any) -> None:
        refused = [code for code in codes if code.is_failure]
        if refused:
            self._refuse(f"it refuses our subscriptions: {refused[0]}")
        elif self.stood_since is None:
            self._stands()

    def _refuse(self, fault: str) -> None:
        self.fault, self._refused = fault, True

    def _stands(self) -> None:
        self.stood_since = time.monotonic()
        self._speaker.opened(self)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self._speaker.heard(self, message.topic, message.payload)

    def _on_publish(self, _client: Any, _data: Any, mid: int, _code: Any, _more: Any) -> None:
        if mid in self._unheard:
            self._unheard.remove(mid)
            self._speaker.acknowledged(mid)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.fault = self.fault or str(code)


def _tls_context(config: BrokersConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{config.ca_file}: holds no certificate of an authority ({error})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
