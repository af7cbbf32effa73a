"""HTTPS for the page: a certificate that the plant gives, or the device's own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.errors import ConfigError
from contract.private_file import require_private, write_private
from edge_runtime.plant.config import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.plant.config import PageConfig

__all__ = ["page_tls"]

_log = logging.getLogger(__name__)

_OWN = "page.pem"  # certificate and key in one private file
_DAYS = 825
_RENEW_DAYS = 30


def page_tls(config: PageConfig, state_dir: Path | None) -> ssl.SSLContext | None:
    """What the page's server encrypts with; None when it does not.

    The device's own certificate lies in `state_dir`, is signed by itself and made anew at the
    first start in the last month before it ends, with the same key.

    Raises:
        ConfigError: when certificate or key cannot be used.
    """
    if not config.is_encrypted:
        return None
    certificate, key = config.certificate, config.key
    if certificate is None:
        if state_dir is None:
            raise ConfigError(
                "[plant.page] has no certificate, and there is no [plant] state_dir to keep the "
                "device's own in; give one of the two"
            )
        certificate = _own_certificate(state_dir, config.host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if key is not None:
            require_private(key, "key")
        context.load_cert_chain(certificate, key, password="")  # rather an error than a prompt
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"[plant.page] {certificate}: certificate and key cannot be used ({error}); both are "
            f"PEM, and the key has no password"
        ) from error
    return context


def _own_certificate(folder: Path, host: str) -> Path:
    path = folder / _OWN
    now = dt.datetime.now(dt.timezone.utc)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = None
        if path.exists():
            require_private(path, "key")
            data = path.read_bytes()
            made = x509.load_pem_x509_certificate(data)
            key = serialization.load_pem_private_key(data, None)
            if made.not_valid_after_utc - now > dt.timedelta(days=_RENEW_DAYS):
                _tell(path, made)
                return path
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            key = ec.generate_private_key(ec.SECP256R1())
        made = _signed_by_itself(key, host, now)
        pem = serialization.Encoding.PEM
        text = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(path, made.public_bytes(pem) + text)
    except OSError as error:
        raise ConfigError(f"{path}: the page's certificate cannot be kept ({error})") from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: is damaged ({error}); remove it, and a new one is made"
        ) from error
    _tell(path, made)
    return path


def _signed_by_itself(
    key: ec.EllipticCurvePrivateKey, host: str, now: dt.datetime
) -> x509.Certificate:
    own = socket.gethostname()
    names: list[x509.GeneralName] = [x509.DNSName(own), x509.DNSName("localhost")]
    try:
        names.append(x509.IPAddress(ipaddress.ip_address(host)))
    except ValueError:
        if not is_loopback(host) and host != own:
            names.append(x509.DNSName(host))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, own[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks of browsers differ
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _tell(path: Path, certificate: x509.Certificate) -> None:
    """Log what an engineer compares with what the browser shows at the first visit."""
    print_ = certificate.fingerprint(hashes.SHA256()).hex(":")
    _log.info(
        "page certificate %s ends %s, SHA-256 %s",
        path,
        certificate.not_valid_after_utc.date(),
        print_,
    )
