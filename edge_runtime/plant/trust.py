"""Certificates of clients that may enter, and of those that knocked and were turned away."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.atomic import make_folder, remove_file, whole_file
from contract.errors import ConfigError, InputError
from contract.packages import need
from contract.private_file import write_private

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

__all__ = [
    "Certificate",
    "keep_rejected",
    "read_certificate",
    "remove_trusted",
    "trust",
    "trusted_certificates",
]

_SUFFIXES = {".der", ".crt", ".cer", ".pem"}
_MAX_BYTES = 16 << 10
_MAX_REJECTED = 32
_MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a person compares and decides by."""

    der: bytes
    subject: str
    fingerprint: str  # SHA-256, upper-case hexadecimal
    thumbprint: str  # SHA-1, as many OPC UA clients show it
    valid_from: dt.datetime
    valid_until: dt.datetime
    uris: tuple[str, ...]  # of the application
    rsa_bits: int | None

    def fault(self, now: dt.datetime) -> str | None:
        """Why it cannot be trusted; None when it can."""
        if not self.valid_from <= now <= self.valid_until:
            return f"it is valid from {self.valid_from:%Y-%m-%d} to {self.valid_until:%Y-%m-%d}"
        if self.rsa_bits is None or self.rsa_bits < _MIN_RSA_BITS:
            bits = "no RSA key" if self.rsa_bits is None else f"a key of {self.rsa_bits} bits"
            return f"it has {bits}; RSA of {_MIN_RSA_BITS} bits or more is needed"
        return None


def read_certificate(data: bytes) -> Certificate:
    """Read a certificate, DER or PEM.

    Raises:
        InputError: when it is none.
    """
    x509 = need("cryptography.x509", extra="scada")
    rsa = need("cryptography.hazmat.primitives.asymmetric.rsa", extra="scada")
    if len(data) > _MAX_BYTES:
        raise InputError(f"a certificate of {len(data)} bytes; {_MAX_BYTES} are allowed")
    try:
        der = ssl.PEM_cert_to_DER_cert(data.decode()) if data.startswith(b"-----") else data
        read = x509.load_der_x509_certificate(der)
        key = read.public_key()
        uris: tuple[str, ...] = ()
        with contextlib.suppress(x509.ExtensionNotFound):
            names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
        return Certificate(
            der=der,
            subject=read.subject.rfc4514_string(),
            fingerprint=hashlib.sha256(der).hexdigest().upper(),
            thumbprint=hashlib.sha1(der).hexdigest().upper(),  # noqa: S324 - what clients show
            valid_from=read.not_valid_before_utc,
            valid_until=read.not_valid_after_utc,
            uris=uris,
            rsa_bits=key.key_size if isinstance(key, rsa.RSAPublicKey) else None,
        )
    except Exception as error:  # whatever a stranger's bytes make the library say
        raise InputError(f"not a certificate ({error})") from error


def trusted_certificates(folder: Path) -> dict[Path, Certificate]:
    """Every certificate in a folder (.der, .crt, .cer, .pem).

    Raises:
        ConfigError: when the folder or a certificate in it cannot be read.
    """
    found = {}
    path = folder
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in _SUFFIXES:
                found[path] = read_certificate(path.read_bytes())
    except (OSError, InputError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read as a certificate ({said})") from error
    return found


def trust(folder: Path, certificate: Certificate) -> Path:
    """Put a certificate into the folder; it counts from the next log-in on.

    Raises:
        ConfigError: when it cannot be written.
    """
    path = folder / f"{certificate.thumbprint}.der"
    try:
        make_folder(folder)
        with whole_file(path, mode=0o644) as partial:  # the daemon reads it, whoever enrols
            partial.write_bytes(certificate.der)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error})") from error
    return path


def remove_trusted(folder: Path, fingerprint: str) -> Certificate:
    """Take a certificate out of the folder.

    Args:
        folder: of trusted certificates.
        fingerprint: of one of them, SHA-256 or SHA-1, or how it begins; colons and case do not
            matter.

    Raises:
        ConfigError: when none or several begin so.
        GasedgeError: when the file cannot be removed.
    """
    wanted = fingerprint.replace(":", "").upper()
    held = trusted_certificates(folder)
    found = {
        path: each
        for path, each in held.items()
        if wanted and (each.fingerprint.startswith(wanted) or each.thumbprint.startswith(wanted))
    }
    if len({each.fingerprint for each in found.values()}) != 1:
        raise ConfigError(
            f"{folder}: {len(found)} of {len(held)} certificates begin with {fingerprint!r}; "
            f"`gasedge trust list {folder}` shows them"
        )
    for path in found:
        remove_file(path)  # and the disk has it: a cut of power lets nobody in again
    return next(iter(found.values()))


def keep_rejected(folder: Path, der: bytes) -> None:
    """Keep the certificate of a client that was turned away, the newest 32, for `trust add`.

    Raises:
        OSError: when it cannot be written.
    """
    if len(der) > _MAX_BYTES:
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha1(der).hexdigest().upper()}.der"  # noqa: S324 - a name
    if path.exists():
        path.touch()
        return
    kept = sorted(folder.glob("*.der"), key=lambda each: each.stat().st_mtime)
    for oldest in kept[: max(0, len(kept) - _MAX_REJECTED + 1)]:
        oldest.unlink(missing_ok=True)
    write_private(path, der)
