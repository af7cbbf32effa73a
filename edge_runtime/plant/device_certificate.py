"""The device's own OPC UA certificate and key: made once, kept in a private folder."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError, InputError
from contract.packages import need
from contract.private_file import require_private, write_private
from edge_runtime.plant.trust import read_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.plant.trust import Certificate

__all__ = ["current_certificate", "device_certificate", "renew_certificate"]

_log = logging.getLogger(__name__)

_CERTIFICATE = "opcua.der"
_DAYS = 3650


def device_certificate(folder: Path, application_uri: str) -> tuple[Path, Path]:
    """Paths of certificate (.der) and key (.pem), made when they are missing.

    Args:
        folder: private to this user; made when it is missing.
        application_uri: stands in the certificate; OPC UA clients compare it.

    Raises:
        ConfigError: when the folder cannot be written, or what is there cannot be used.
    """
    x509 = need("cryptography.x509", extra="scada")
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    certificate_path, key_path = folder / _CERTIFICATE, folder / "opcua-key.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (certificate_path.exists() and key_path.exists()):
            _make(certificate_path, key_path, application_uri)
        certificate = x509.load_der_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot keep the OPC UA certificate ({error}); "
            f"set [plant.opcua] state_dir to a folder of this user"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{folder}: opcua.der or opcua-key.pem is damaged ({error}); "
            f"remove both, and new ones are made"
        ) from error
    if certificate.public_key() != key.public_key():
        raise ConfigError(
            f"{folder}: opcua.der does not belong to opcua-key.pem; "
            f"remove both, and new ones are made"
        )
    require_private(key_path, "key")
    return certificate_path, key_path


def current_certificate(folder: Path) -> Certificate:
    """The device's certificate as it lies there now.

    Args:
        folder: where `device_certificate` keeps it.

    Raises:
        ConfigError: when there is none that can be read.
    """
    path = folder / _CERTIFICATE
    try:
        return read_certificate(path.read_bytes())
    except (OSError, InputError) as error:
        raise ConfigError(
            f"{path}: no certificate of the device can be read there ({error}); "
            f"it is made at the first start"
        ) from error


def renew_certificate(folder: Path) -> Path:
    """Make a new certificate with the same key and names; the old one is kept as `.old`.

    A running OPC UA process takes it within a minute, and clients must be told to trust it.

    Raises:
        ConfigError: when there is no certificate with its key, or the folder cannot be written.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    uris = current_certificate(folder).uris
    if not uris:
        raise ConfigError(f"{folder}: opcua.der names no application: it was not made here")
    uri = uris[0]
    certificate_path, key_path = device_certificate(folder, uri)
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    try:
        write_private(certificate_path.with_suffix(".der.old"), certificate_path.read_bytes())
        _sign(certificate_path, key, uri)
    except OSError as error:
        raise ConfigError(f"{certificate_path}: cannot be written ({error})") from error
    return certificate_path


def _make(certificate_path: Path, key_path: Path, application_uri: str) -> None:
    generate = need("asyncua.crypto.cert_gen", extra="scada")
    key = generate.generate_private_key()
    write_private(key_path, generate.dump_private_key_as_pem(key))
    _sign(certificate_path, key, application_uri)
    _log.info("made the device's OPC UA certificate %s", certificate_path)


def _sign(certificate_path: Path, key: Any, application_uri: str) -> None:
    x509 = need("cryptography.x509", extra="scada")
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    oid = need("cryptography.x509.oid", extra="scada")
    generate = need("asyncua.crypto.cert_gen", extra="scada")
    host = socket.gethostname()
    certificate = generate.generate_self_signed_app_certificate(
        key,
        f"gasedge@{host}"[:64],
        {},
        [x509.UniformResourceIdentifier(application_uri), x509.DNSName(host)],
        # a drill is a client with such a certificate, of OPC UA and of Modbus over TLS
        [oid.ExtendedKeyUsageOID.SERVER_AUTH, oid.ExtendedKeyUsageOID.CLIENT_AUTH],
        days=_DAYS,
    )
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.DER))
