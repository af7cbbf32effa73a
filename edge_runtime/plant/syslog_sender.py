"""Sends the audit journal to a syslog server, from where the last connection stopped.

Over TCP and TLS the journal's cursor moves on only when the server's machine has acknowledged every
byte (the kernel's send queue is empty); what was on its way when a connection broke is sent once
more. Syslog has no acknowledgement of its own (RFC 6587): what a server took and then lost is lost.
Over UDP nothing tells, so nothing is promised.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError, GasedgeError
from edge_runtime.plant.syslog_format import message_of, octet_counted
from edge_runtime.reconnect import back_off_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contract.audit import AuditRecord
    from edge_runtime.alarms.journal import Journal
    from edge_runtime.plant.config import SyslogConfig

__all__ = ["serve_syslog"]

_log = logging.getLogger(__name__)

_CONSUMER = "syslog"
_PIECE = 100  # records between two looks at what the server has
_LOOK_S = 0.5  # for new records
_PATIENCE_S = 20.0  # for a server that takes nothing
_GOODBYE_S = 2.0  # the end of the process must not wait for a dead server
_TROUBLE_S = 60.0  # until the operator is told
_SIOCOUTQ = 0x5411  # bytes of a TCP socket that the peer has not acknowledged, tcp(7)
_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}


@contextlib.contextmanager
def serve_syslog(
    config: SyslogConfig, journal: Journal, tell: Callable[[str | None], None]
) -> Iterator[None]:
    """Send in a thread of its own for as long as this stands.

    Args:
        config: where to.
        journal: what is sent; remembers how far the server has it.
        tell: called in that thread with what an operator should know, None when it is over.

    Raises:
        ConfigError: when a certificate cannot be used.
    """
    sender = _Sender(config, journal, tell)
    thread = threading.Thread(target=sender.run, name="gasedge-syslog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sender.stop.set()
        thread.join(_GOODBYE_S)


class _Sender:
    def __init__(
        self, config: SyslogConfig, journal: Journal, tell: Callable[[str | None], None]
    ) -> None:
        self.stop = threading.Event()
        self._config = config
        self._journal = journal
        self._tell = tell
        self._tls = _tls_of(config)
        self._host = socket.gethostname()
        self._port = config.port or _PORTS[config.transport]

    def run(self) -> None:
        """Send until stopped; a server that is gone is tried again."""
        failures, since_s, told = 0, 0.0, False
        while not self.stop.is_set():
            try:
                with self._connected() as connection:
                    while not self.stop.is_set():
                        self._send_new(connection)
                        if failures:
                            _log.info("syslog: %s takes records again", self._config.host)
                            failures, told = 0, False
                            self._tell(None)
                        self.stop.wait(_LOOK_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt comes
                failures += 1
                since_s = time.monotonic() if failures == 1 else since_s
                if failures == 1:
                    known = isinstance(error, (OSError, GasedgeError))
                    text = "syslog: %s: %s; trying on"
                    _log.warning(text, self._config.host, error, exc_info=not known)
                if not told and time.monotonic() - since_s > _TROUBLE_S:
                    told = True
                    self._tell(f"no audit records reach syslog at {self._config.host}: {error}")
                self.stop.wait(back_off_s(failures, random.random()))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        address = (self._config.host, self._port)
        with contextlib.ExitStack() as stack:
            if self._config.transport == "udp":
                family, kind, protocol, _, where = socket.getaddrinfo(
                    *address, type=socket.SOCK_DGRAM
                )[0]
                connection = stack.enter_context(socket.socket(family, kind, protocol))
                connection.connect(where)
            else:
                plain = stack.enter_context(socket.create_connection(address, timeout=10))
                plain.settimeout(_PATIENCE_S)
                plain.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_PATIENCE_S * 1000)
                )
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection = plain
                if self._tls is not None:
                    connection = stack.enter_context(
                        self._tls.wrap_socket(plain, server_hostname=self._config.host)
                    )
            yield connection

    def _send_new(self, connection: socket.socket) -> None:
        """Send what the server does not have yet."""
        n = self._journal.delivered_to(_CONSUMER)
        while not self.stop.is_set():
            last, records = self._journal.after(n, _PIECE)
            if last == n:
                break
            self._send(connection, records)
            n = last
            self._journal.delivered(_CONSUMER, n)
        if self._config.transport != "udp":
            _must_be_open(connection)

    def _send(self, connection: socket.socket, records: list[AuditRecord]) -> None:
        messages = [message_of(each, self._host) for each in records]
        if self._config.transport == "udp":
            for each in messages:
                connection.send(each)
            return
        connection.sendall(b"".join(octet_counted(each) for each in messages))
        until_s = time.monotonic() + _PATIENCE_S
        while _unacknowledged(connection):
            _must_be_open(connection)
            if time.monotonic() > until_s:
                raise TimeoutError(f"took nothing for {_PATIENCE_S:.0f} s")
            if self.stop.wait(0.01):
                raise InterruptedError("the process ends")
        _must_be_open(connection)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the peer's kernel has not acknowledged."""
    waiting = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), _SIOCOUTQ, waiting)
    return waiting[0]


def _must_be_open(connection: socket.socket) -> None:
    """Notice a server that went away; what it says is of no interest."""
    before = connection.gettimeout()
    connection.settimeout(0)
    try:
        while True:
            if not connection.recv(4096):
                raise ConnectionResetError("the server closed the connection")
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
    finally:
        connection.settimeout(before)


def _tls_of(config: SyslogConfig) -> ssl.SSLContext | None:
    if config.transport != "tls":
        return None
    path = config.ca
    try:
        context = ssl.create_default_context(cafile=path)
        if config.certificate is not None:
            path = config.certificate
            context.load_cert_chain(path, password="")  # rather an error than a prompt
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"[plant.syslog] {path}: cannot be used ({error}); PEM is needed, and the key of "
            f"certificate in the same file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
