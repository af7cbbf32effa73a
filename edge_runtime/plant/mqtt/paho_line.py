"""One connection of paho's, driven by hand: its own threads would hide when it writes."""

from __future__ import annotations

import contextlib
import select
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from edge_runtime.plant.mqtt.config import Address
    from edge_runtime.plant.mqtt.speaking import Message, Speaker

__all__ = ["CONNECT_S", "FAREWELL_S", "PahoLine"]

CONNECT_S = 3.0
FAREWELL_S = 1.0
_MAX_READS = 100  # of one turn
_LARGEST = 1 << 18  # bytes of a message to us; MQTT would allow 256 MiB, and paho holds it all
_DISCONNECT = b"\xe0\x00"


class PahoLine:
    """One connection of paho's, driven by hand: its own threads would hide when it writes."""

    def __init__(self, mqtt: Any, speaker: Speaker, keepalive_s: int) -> None:
        self.fault = ""
        self.leaving = False
        self._hanging_up = False
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
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(0xFFFF)  # the speaker minds how many
        # no setting of MQTT 3.1.1 or of paho says how much may come
        self._take, client._sock_recv = client._sock_recv, self._take_some  # noqa: SLF001
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def connect(
        self, address: Address, who: tuple[str, str] | None, tls: ssl.SSLContext | None
    ) -> None:
        """Reach a broker and ask it to accept us; that comes later, or not.

        Raises:
            OSError: when it cannot be reached, or is not whom its certificate must name.
        """
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
        """Whether the connection is over or was refused."""
        return self._refused or self._client.socket() is None

    @property
    def busy(self) -> bool:
        """See `Line`."""
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
        """See `Line`."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if message.qos:
            self._unheard.add(info.mid)
        return int(info.mid)

    def leave(self) -> None:
        """See `Line`."""
        self.leaving = True

    def handle(self) -> int | None:
        """The socket's number, to wait for."""
        socket = self._client.socket()
        return None if socket is None else int(socket.fileno())

    def handle_network(self, ready: int) -> None:
        """Read and write what can be, after poll(2) said what is `ready`."""
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
        """DISCONNECT, once all that was said before is out and acknowledged, within a bound.

        Without an acknowledgement there is no DISCONNECT, so that the broker tells the will: some
        (NATS 2.15) lose a message of QoS 1 whose sender leaves at once. paho would close the socket
        at once. With bytes that nobody read that is a reset, after which a broker may never see the
        DISCONNECT and tells the will.
        """
        self._hanging_up = True
        give_up_s = time.monotonic() + FAREWELL_S
        while (self.has_unsent or self._unheard) and time.monotonic() < give_up_s:
            handle = self.handle()
            if self.is_gone or handle is None:
                return
            poll = select.poll()
            wants = select.POLLOUT if self.has_unsent else 0
            poll.register(handle, wants | (select.POLLIN if self._unheard else 0))
            self.handle_network(dict(poll.poll(100)).get(handle, 0))
        socket = self._client.socket()
        if socket is None or self.has_unsent or self._unheard:
            return
        with contextlib.suppress(OSError):
            socket.settimeout(FAREWELL_S)
            socket.sendall(_DISCONNECT)
            while time.monotonic() < give_up_s and socket.recv(4096):
                pass  # until the broker hangs up

    def drop(self) -> None:
        """Close the socket without a word."""
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def _take_some(self, count: int) -> bytes:
        """Read for paho, which asks for as much as the message it has begun is said to have."""
        if count > _LARGEST:
            self.fault = f"it sends too much: a message of {count} bytes"
            raise ConnectionAbortedError(self.fault)
        return bytes(self._take(count))

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
        if not self._hanging_up:  # after the farewell nothing more is said or done
            self._speaker.heard(self, message.topic, message.payload, retained=message.retain)

    def _on_publish(self, _client: Any, _data: Any, mid: int, _code: Any, _more: Any) -> None:
        if mid in self._unheard:
            self._unheard.remove(mid)
            self._speaker.acknowledged(mid)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.fault = self.fault or str(code)
