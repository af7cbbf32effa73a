"""The device's own Ed25519 key, with which it signs what it saw; made once, kept private."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError
from contract.packages import need
from contract.private_file import require_private, write_private
from contract.signing_key import public_pem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KEY", "PUBLIC_KEY", "device_key", "fingerprint"]

KEY = "evidence-key.pem"
PUBLIC_KEY = "evidence-public.pem"


def device_key(folder: Path) -> Any:
    """The private key in `folder`, made at the first call; the public one lies beside it.

    Raises:
        ConfigError: when it cannot be kept, read, or others may read it.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="scada")
    path = folder / KEY
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            key = ed25519.Ed25519PrivateKey.generate()
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_private(path, pem)
        require_private(path, "key")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be kept ({error})") from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: is damaged ({error}); put a copy back, or remove it for a new key, which "
            f"whoever checks evidence must be told"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path}: is no Ed25519 key; remove it, and a new one is made")
    public, data = folder / PUBLIC_KEY, public_pem(key)
    with contextlib.suppress(OSError):  # a full disk must not keep the recorder from starting
        if not public.exists() or public.read_bytes() != data:
            public.write_bytes(data)
    return key


def fingerprint(pem: bytes) -> str:
    """SHA-256 of a public key's PEM text, to compare by eye."""
    return hashlib.sha256(pem).hexdigest()
