"""The device's own OPC UA certificate and key: made once, kept in a private folder."""

from __future__ import annotations

import datetime as dt
import logging
import socket
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from contract.packages import need
from edge_runtime.plant.private_file import write_private

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["device_certificate"]

_log = logging.getLogger(__name__)

_DAYS = 3650
_WARN_DAYS = 30


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
    certificate_path, key_path = folder / "opcua.der", folder / "opcua-key.pem"
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
    if key_path.stat().st_mode & 0o077:
        raise ConfigError(f"{key_path}: others may read the key; run: chmod 600 {key_path}")
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.timezone.utc)
    if left.days < _WARN_DAYS:
        _log.warning(
            "%s expires in %d days; remove it and opcua-key.pem for new ones, and let the "
            "clients trust the new certificate",
            certificate_path,
            left.days,
        )
    return certificate_path, key_path


def _make(certificate_path: Path, key_path: Path, application_uri: str) -> None:
    x509 = need("cryptography.x509", extra="scada")
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    oid = need("cryptography.x509.oid", extra="scada")
    generate = need("asyncua.crypto.cert_gen", extra="scada")
    host = socket.gethostname()
    key = generate.generate_private_key()
    certificate = generate.generate_self_signed_app_certificate(
        key,
        f"gasedge@{host}"[:64],
        {},
        [x509.UniformResourceIdentifier(application_uri), x509.DNSName(host)],
        [oid.ExtendedKeyUsageOID.SERVER_AUTH],
        days=_DAYS,
    )
    write_private(key_path, generate.dump_private_key_as_pem(key))
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.DER))
    _log.info("made the device's OPC UA certificate %s", certificate_path)
