"""Proof that an engine was built on this device: a seal that only its own secret can make.

A fingerprint names the engine's hash and the machine, and whoever brings an engine can write one
that fits. So it is sealed with an HMAC (RFC 2104) under a secret that was made on this device and
never leaves it, in a folder that only its user can enter.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from contract.errors import ConfigError, IntegrityError
from contract.plain_file import read_plain
from contract.private_file import require_private, write_private

__all__ = ["SEALED_BY", "seal"]

SEALED_BY = "engine-seal.key"
"""Name of the file with the secret; nothing may carry it to another device."""
_BYTES = 32


def seal(data: bytes) -> str:
    """What this device alone can compute of `data`, 64 hexadecimal digits.

    Raises:
        ConfigError: when the secret cannot be kept or read, or others may read it.
    """
    return hmac.new(_secret(_state_folder()), data, hashlib.sha256).hexdigest()


def _state_folder() -> Path:
    """Where a user's programs keep what must survive: systemd's, XDG's, or the home folder's."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5)
    if given:
        return Path(given) / "seal"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "gasedge" / "seal"


def _secret(folder: Path) -> bytes:
    path = folder / SEALED_BY
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(folder, "secret")
        if not path.exists():
            write_private(path, secrets.token_bytes(_BYTES))
        require_private(path, "secret")
        found = read_plain(path, most=_BYTES)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise ConfigError(
            f"{path}: the secret that seals engines cannot be kept ({error}); name a folder of "
            "this user's own in XDG_STATE_HOME"
        ) from error
    except IntegrityError as error:
        raise ConfigError(f"{error}; remove it, and engines are built anew") from error
    if len(found) != _BYTES:
        raise ConfigError(f"{path}: is damaged; remove it, and engines are built anew")
    return found
