"""Key files: a private one that signs, encrypted and for one user alone, and its public half.

The public one is PEM as `openssl` reads it. The private one is PKCS#8 under a password that scrypt
(RFC 7914) makes of the passphrase, with the salt in a line before it: what PKCS#8 itself does with
a passphrase is too quick to keep a guesser from a stolen file.
"""

from __future__ import annotations

import hashlib
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.atomic import write_bytes
from contract.errors import ConfigError, IntegrityError
from contract.packages import need
from contract.plain_file import read_plain
from contract.private_file import require_private, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PRIVATE",
    "PUBLIC",
    "SHORTEST_PASSPHRASE",
    "make_keys",
    "public_pem",
    "read_passphrase",
    "read_private_key",
    "read_public_key",
    "read_public_keys",
]

PRIVATE = "signing.key"
PUBLIC = "signing.pub"
SHORTEST_PASSPHRASE = 8  # characters; only the passphrase protects a key file that was copied
_LARGEST = 1 << 16
_SALT = "scrypt salt "
_SALT_BYTES = 16
# 32 MiB and a few tenths of a second a guess: OWASP's table of scrypt parameters
_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 3


def make_keys(folder: Path, passphrase: str) -> tuple[Path, Path]:
    """Make a pair of keys in `folder`; never in place of another.

    Returns:
        The private key's file and the public key's.

    Raises:
        ConfigError: when there is one already, the passphrase is too short, or the disk refuses.
    """
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    private, public = folder / PRIVATE, folder / PUBLIC
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: is there already; a key is never overwritten")
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(f"the passphrase must have {SHORTEST_PASSPHRASE} characters at least")
    key = ed25519.Ed25519PrivateKey.generate()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(private, _encrypted(key, passphrase), own=True)
    except OSError as error:
        raise ConfigError(f"{private}: cannot be written ({error.strerror})") from error
    try:
        write_bytes(public, public_pem(key))
    except BaseException:
        private.unlink(missing_ok=True)  # half a pair would stand in the way of the next
        raise
    return private, public


def public_pem(key: Any) -> bytes:
    """The public half of a private key, as its file holds it."""
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    data: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data


def read_private_key(path: Path, passphrase: str) -> Any:
    """The private key in a file that nobody else may read.

    Raises:
        ConfigError: when it is none, others may read it, or the passphrase is wrong.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    exceptions = need("cryptography.exceptions", extra="cpu")
    first, _, pem = _private_bytes(path, "key").partition(b"\n")
    if not first.startswith(_SALT.encode()):
        raise ConfigError(f"{path}: is no private key made by gasedge bundle keygen")
    try:
        salt = bytes.fromhex(first.decode()[len(_SALT) :])
        key = serialization.load_pem_private_key(pem, _password(passphrase, salt))
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: cannot be opened: the passphrase is wrong, or the file is damaged"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path}: is no Ed25519 key; make one: gasedge bundle keygen")
    return key


def read_passphrase(path: Path) -> str:
    """The first line of a file that nobody else may read.

    Raises:
        ConfigError: when it cannot be read, is empty, or others may read it.
    """
    try:
        lines = _private_bytes(path, "passphrase").decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no text; a passphrase is its first line") from error
    if not lines or not lines[0]:
        raise ConfigError(f"{path}: is empty; a passphrase is its first line")
    return lines[0]


def read_public_key(path: Path) -> bytes:
    """The 32 raw bytes of the public key in a PEM file.

    Raises:
        ConfigError: when it cannot be read, anybody may write it, or it is no Ed25519 public key.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    exceptions = need("cryptography.exceptions", extra="cpu")
    try:
        data = read_plain(path, most=_LARGEST, follow=True)
        _require_unwritable(path)
        key = serialization.load_pem_public_key(data)
    except OSError as error:  # gone meanwhile
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except IntegrityError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: is no public key; {PUBLIC} of gasedge bundle keygen is one"
        ) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(f"{path}: is no Ed25519 key; {PUBLIC} of gasedge bundle keygen is one")
    raw: bytes = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw


def read_public_keys(paths: Sequence[Path]) -> tuple[bytes, ...]:
    """The raw public keys of several files, each once.

    Raises:
        ConfigError: as `read_public_key`.
    """
    return tuple(dict.fromkeys(read_public_key(Path(path)) for path in paths))


def _encrypted(key: Any, passphrase: str) -> bytes:
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    salt = secrets.token_bytes(_SALT_BYTES)
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(_password(passphrase, salt)),
    )
    return f"{_SALT}{salt.hex()}\n".encode() + pem


def _password(passphrase: str, salt: bytes) -> bytes:
    room = 2 * 128 * _COST * _BLOCK
    made = hashlib.scrypt(
        passphrase.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=room, dklen=32
    )
    return made.hex().encode()


def _require_unwritable(path: Path) -> None:
    """Refuse a key that anybody may replace by another: it decides what runs."""
    if path.stat().st_mode & stat.S_IWOTH:
        raise ConfigError(f"{path}: anybody may write the key; run: chmod o-w {path}")


def _private_bytes(path: Path, what: str) -> bytes:
    try:
        require_private(path, what)
        return read_plain(path, most=_LARGEST, follow=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except IntegrityError as error:
        raise ConfigError(str(error)) from error
