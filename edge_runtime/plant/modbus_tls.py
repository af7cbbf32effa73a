"""Who may enter Modbus over TLS: clients whose certificate, or its authority, is trusted.

After "MODBUS/TCP Security" (Modbus Organization, 2018): TLS 1.2 or later, both ends show a
certificate. Roles in certificates are not looked at: there is nothing to write.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from contract.private_file import require_private
from edge_runtime.plant.spared_log import spare_the_log

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.plant.config import ModbusTlsConfig

__all__ = ["ModbusTrust"]

_log = logging.getLogger(__name__)
_refused = logging.getLogger(f"{__name__}.refused")  # what strangers cause; kept short

_SUFFIXES = (".pem", ".crt", ".cer", ".der")


class ModbusTrust:
    """Makes the TLS settings, and anew when what is trusted has changed.

    Raises:
        ConfigError: when the certificate, its key or what is trusted cannot be used.
    """

    def __init__(self, config: ModbusTlsConfig) -> None:
        self._config = config
        self._seen = self._now()
        self._context = _context(config)
        spare_the_log((_refused.name,))

    def context(self) -> ssl.SSLContext:
        """The settings for the next handshake.

        Raises:
            ConfigError: when what is trusted was changed and cannot be used any more: nobody
                enters then.
        """
        now = self._now()
        if now != self._seen:
            self._context = _context(self._config)
            self._seen = now
            _log.info(
                "Modbus over TLS: %s has changed and counts from now on", self._config.trusted
            )
        return self._context

    def turned_away(self, error: Exception) -> None:
        """Tell why a client does not enter."""
        said = getattr(error, "reason", None) or str(error) or type(error).__name__
        _refused.warning("Modbus over TLS: a client was turned away (%s)", said)

    def _now(self) -> tuple[tuple[str, int], ...]:
        try:
            return tuple((str(path), path.stat().st_mtime_ns) for path in _files(self._config))
        except OSError as error:
            raise ConfigError(
                f"[plant.modbus.tls] {error.filename}: cannot be read ({error.strerror})"
            ) from error


def _files(config: ModbusTlsConfig) -> list[Path]:
    """The certificate, its key and the files of trusted certificates."""
    trusted = config.trusted
    if trusted.is_dir():
        found = sorted(path for path in trusted.iterdir() if path.suffix.lower() in _SUFFIXES)
    else:
        found = [trusted]
    return [config.certificate, config.key, *found]


def _context(config: ModbusTlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # a client's own certificate may be trusted without its authority
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    certificate, key, *trusted = _files(config)
    path = certificate
    try:
        require_private(key, "key")
        context.load_cert_chain(certificate, key, password=_no_password)
        if not trusted:
            raise ConfigError(
                f"[plant.modbus.tls] {config.trusted}: holds no certificate, so nobody could "
                f"enter; put those of clients or authorities there ({', '.join(_SUFFIXES)})"
            )
        for path in trusted:
            data = path.read_bytes()
            context.load_verify_locations(cadata=data.decode() if b"-----BEGIN" in data else data)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"[plant.modbus.tls] {path}: cannot be used ({said}); certificate and key are PEM "
            f"files that belong together, trusted holds certificates"
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key asks for a password; keep it without one, readable by this user only")
