"""Certificates that must not be believed: expired, or signed by nobody whom the device trusts."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo_line import free_port

from contract.packages import need
from tests.plant.mqtt_brokers import Broker, that_keeps

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

__all__ = ["rows"]

_HOLD_S = 7.0
_AGAIN_S = 30.0  # within which the device tries the broker again, after some failures
_TABLES = """ca_file = "{folder}/broker/ca.pem"
[plant.modbus.tls]
port = {page}
certificate = "{folder}/broker/good.pem"
key = "{folder}/broker/good.key"
trusted = "{folder}/broker/ca.pem"
"""


@dataclass
class TlsBroker(Broker):
    """A mosquitto that its witness reaches plainly and the device over TLS."""

    tls_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        authority, stranger = _Authority("plant"), _Authority("stranger")
        authority.write(self.folder / "ca.pem")
        authority.signs(self.folder / "good")
        authority.signs(self.folder / "expired", days=-1)
        stranger.signs(self.folder / "untrusted")
        self.show("good")

    def show(self, name: str) -> None:
        """Which certificate it shows from its next start on."""
        for end in ("pem", "key"):
            shutil.copy(self.folder / f"{name}.{end}", self.folder / f"shown.{end}")
        self.extra = (
            f"{that_keeps(self.folder)}listener {self.tls_port} 127.0.0.1\n"
            f"certfile {self.folder}/shown.pem\nkeyfile {self.folder}/shown.key\n"
        )

    @property
    def url(self) -> str:
        """Where the device finds it."""
        return f"mqtts://127.0.0.1:{self.tls_port}"


class _Authority:
    def __init__(self, name: str) -> None:
        self._x509 = need("cryptography.x509", extra="scada")
        self._oid = need("cryptography.x509.oid", extra="scada").NameOID.COMMON_NAME
        self._hash = need("cryptography.hazmat.primitives.hashes", extra="scada").SHA256()
        self._serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
        self._key = self._new_key()
        self._name = self._x509.Name([self._x509.NameAttribute(self._oid, name)])
        self._own = self._certificate(self._name, self._key, days=400, is_authority=True)

    def write(self, path: Path) -> None:
        """Its own certificate."""
        path.write_bytes(self._own.public_bytes(self._serialization.Encoding.PEM))

    def signs(self, path: Path, *, days: int = 400) -> None:
        """`path`.pem and `path`.key of this machine's loopback address."""
        key = self._new_key()
        name = self._x509.Name([self._x509.NameAttribute(self._oid, path.name)])
        made = self._certificate(name, key, days=days, is_authority=False)
        path.with_suffix(".pem").write_bytes(made.public_bytes(self._serialization.Encoding.PEM))
        private = path.with_suffix(".key")
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                self._serialization.Encoding.PEM,
                self._serialization.PrivateFormat.PKCS8,
                self._serialization.NoEncryption(),
            )
        )

    def _new_key(self) -> Any:
        curves = need("cryptography.hazmat.primitives.asymmetric.ec", extra="scada")
        return curves.generate_private_key(curves.SECP256R1())

    def _certificate(self, name: Any, key: Any, *, days: int, is_authority: bool) -> Any:
        x509, now = self._x509, dt.datetime.now(dt.timezone.utc)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder(subject_name=name, issuer_name=self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, self._hash)
        )


_SETTING = Setting("tls", tables=_TABLES, broker=TlsBroker)


def rows() -> Iterator[Fault]:
    """Of a broker that the device reaches out to, and of a client that comes in."""
    for name in ("expired", "untrusted"):
        yield _row(f"broker's {name}", "the broker is started again with it", _broker(name))
        yield _row(f"Modbus client's {name}", "a client shows it again and again", _client(name))


def _row(name: str, how: str, do: Callable[[Rig], AbstractContextManager[float]]) -> Fault:
    return Fault("certificates", name, how, _SETTING, do, Shown.WATCHED, hold_s=_HOLD_S)


def _broker(name: str) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        broker = _of(rig)
        broker.stop()
        arrived = len(_heard(rig))
        broker.show(name)
        broker.start()
        begin_s, heard = time.monotonic(), rig.daemon.log.stat().st_size
        try:
            yield begin_s
            until_s, is_told = time.monotonic() + _AGAIN_S, False
            while not is_told and time.monotonic() < until_s:
                time.sleep(0.2)
                is_told = rig.said("certificate verify failed", since=heard)
            if len(_heard(rig)) > arrived:
                raise WrongError(f"events were given to a broker with the {name} certificate")
            if not is_told:
                raise WrongError("the log does not say why the broker is not believed")
        finally:
            broker.stop()
            broker.show("good")
            broker.start()

    return do


def _client(name: str) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        if not _is_let_in(rig, "good"):
            raise WrongError("a client with the right certificate is not let in")
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < _HOLD_S / 2:
            if _is_let_in(rig, name):
                raise WrongError(f"a client with the {name} certificate was let in")
        yield begin_s

    return do


def _is_let_in(rig: Rig, name: str) -> bool:
    folder = _of(rig).folder
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    try:
        with (
            socket.create_connection(("127.0.0.1", rig.page), 2) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(bytes.fromhex("000100000006010400000002"))
            return bool(secure.recv(64))
    except OSError:
        return False


def _heard(rig: Rig) -> list[object]:
    """Events that the witness heard so far."""
    return [each for each in rig.events.got if each.topic.endswith("/event")]


def _of(rig: Rig) -> TlsBroker:
    if not isinstance(rig.broker, TlsBroker):
        raise WrongError("the broker speaks no TLS")
    return rig.broker
