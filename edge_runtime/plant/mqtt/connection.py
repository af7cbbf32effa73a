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
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import ConfigError
from contract.packages import need
from edge_runtime.plant.mqtt.config import credentials
from edge_runtime.plant.mqtt.paho_line import CONNECT_S, FAREWELL_S, PahoLine
from edge_runtime.reconnect import back_off_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from edge_runtime.plant.mqtt.config import Address, BrokersConfig
    from edge_runtime.plant.mqtt.speaking import Speaker

__all__ = ["MqttConnection"]

_log = logging.getLogger(__name__)

_GREETING_S = 5.0  # until the broker has accepted us and our subscriptions
_STEADY_S = 10.0  # a connection that stood so long was no failure
_CAP_S = 5.0  # between two rounds through all brokers


class MqttConnection(Closing):
    """Keeps a speaker connected, with one thread once it was started.

    Args:
        config: brokers and how to enter.
        speaker: what is said over the connection.
        tell: called in that thread with what an operator should know, None when it is over.

    Raises:
        ConfigError: when credentials or the authority's certificate cannot be used.
        MissingPackageError: when paho-mqtt is not installed.
    """

    def __init__(
        self,
        config: BrokersConfig,
        speaker: Speaker,
        tell: Callable[[str | None], None] | None = None,
    ) -> None:
        self._mqtt = need("paho.mqtt.client", extra="scada")
        self._speaker = speaker
        self._tell = tell
        self._told: str | None = None
        self._why: dict[Address, str] = {}  # what each broker failed with last, told once
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
            self._thread.join(CONNECT_S + FAREWELL_S)
        if self._thread.is_alive():
            _log.warning("%s hangs in its network and is left behind", self._speaker.client_id)
            return
        with self._waking:
            os.close(self._wake)
            self._wake = -1

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._keep_connected()
            except Exception as error:  # noqa: BLE001 - nobody would see that the thread is gone
                self._failed(error)
                self._closed.wait(_CAP_S)

    def _failed(self, error: Exception) -> None:
        """Tell of what nobody foresaw, once for as long as it is the same."""
        text = f"{self._speaker.client_id}: {type(error).__name__}: {error}; it goes on trying"
        if text == self._told:
            return
        self._told = text
        _log.error("%s", text, exc_info=error)
        if self._tell is not None:
            self._tell(text)

    def _recovered(self) -> None:
        self._told = None
        if self._tell is not None:
            self._tell(None)

    def _keep_connected(self) -> None:
        failures = 0
        while not self._closed.is_set():
            for address in self._addresses:
                if self._closed.is_set():
                    break
                stood_s = self._converse(address)
                failures = 0 if stood_s >= _STEADY_S else failures + 1
            rounds = max(1, failures // len(self._addresses))
            self._rest(back_off_s(rounds, random.random(), cap_s=_CAP_S))

    def _rest(self, seconds: float) -> None:
        """Give the speaker its turns while there is no line."""
        until_s = time.monotonic() + seconds
        while not self._closed.is_set() and (left_s := until_s - time.monotonic()) > 0:
            self._wait(None, min(left_s, self._speaker.turn(None)))

    def _converse(self, address: Address) -> float:
        """Connect and stay for as long as the connection stands; answers for how many seconds."""
        line = PahoLine(self._mqtt, self._speaker, self._keepalive_s)
        try:
            try:
                line.connect(address, self._credentials, self._tls if address.tls else None)
            except Exception:
                self._speaker.unreached()
                raise
            self._stay(line, address)
        except OSError as error:
            line.fault = line.fault or str(error)
        except Exception as error:  # noqa: BLE001 - a name or topic that is no text, and the like
            line.fault = line.fault or str(error)
            self._failed(error)
        finally:
            self._at = None
            line.drop()
        if line.stood_since is None:
            log = _log.debug if self._why.get(address) == line.fault else _log.warning
            self._why[address] = line.fault
            log("%s: no connection to %s (%s)", self._speaker.client_id, address, line.fault)
            return 0.0
        self._speaker.closed()
        _log.warning(
            "%s: connection to %s ended (%s)", self._speaker.client_id, address, line.fault
        )
        return time.monotonic() - line.stood_since

    def _stay(self, line: PahoLine, address: Address) -> None:
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
                    self._why.clear()
                    _log.info("%s: connected to %s", self._speaker.client_id, address)
                if self._told is not None and time.monotonic() - line.stood_since >= _STEADY_S:
                    self._recovered()
                wait_s = self._speaker.turn(line)
            self._wait(line, wait_s)

    def _wait(self, line: PahoLine | None, seconds: float) -> None:
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


def _tls_context(config: BrokersConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{config.ca_file}: holds no certificate of an authority ({error})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
