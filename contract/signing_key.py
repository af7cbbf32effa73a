"""Key files: a private one that signs, encrypted and for one user alone, and its public half.

Both are PEM as `openssl` reads it: PKCS#8 under a passphrase, and SubjectPublicKeyInfo.
"""

from __future__ import annotations

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


def make_keys(folder: Path, passphrase: str) -> tuple[Path, Path]:
    """Make a pair of keys in `folder`; never in place of another.

    Returns:
        The private key's file and the public key's.

    Raises:
        ConfigError: when there is one already, the passphrase is too short, or the disk refuses.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    private, public = folder / PRIVATE, folder / PUBLIC
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: is there already; a key is never overwritten")
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(f"the passphrase must have {SHORTEST_PASSPHRASE} characters at least")
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(private, pem)
    except OSError as error:
        raise ConfigError(f"{private}: cannot be written ({error.strerror})") from error
    write_bytes(public, public_pem(key))
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
    data = _private_bytes(path, "key")
    try:
        key = serialization.load_pem_private_key(data, passphrase.encode())
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: cannot be opened: the passphrase is wrong, or it is no encrypted private key "
            "(gasedge bundle keygen makes one)"
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
        ConfigError: when it cannot be read or is no Ed25519 public key.
    """
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    exceptions = need("cryptography.exceptions", extra="cpu")
    try:
        data = read_plain(path.resolve(), most=_LARGEST)
        key = serialization.load_pem_public_key(data)
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


def _private_bytes(path: Path, what: str) -> bytes:
    try:
        require_private(path, what)
        return read_plain(path.resolve(), most=_LARGEST)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except IntegrityError as error:
        raise ConfigError(str(error)) from error
