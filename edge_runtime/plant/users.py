"""Names and salted password hashes in a file: who may log in. There is no default password."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
import time
from typing import TYPE_CHECKING

from contract.errors import ConfigError
from edge_runtime.plant.private_file import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MIN_PASSWORD", "Users", "add_user"]

MIN_PASSWORD = 10
_N, _R, _P = 1 << 14, 8, 1  # 16 MB and some 50 ms each
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_LINE = re.compile(r"([A-Za-z0-9_.@-]{1,64}):scrypt:([0-9a-f]{32}):([0-9a-f]{64})")
_FREE_FAILURES = 5
_PAUSE_S = 10.0
_NOBODY = (b"nobody's salt...", b"")  # hashed for a name that is not there: same time, no match


def add_user(path: Path, name: str, password: str) -> None:
    """Add a user to the file, or give an old one a new password; the file is made if missing.

    Raises:
        ConfigError: when the name or password is not fit, or the file is no user file.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"user name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . @ -")
    if not MIN_PASSWORD <= len(password) <= 256:
        raise ConfigError(
            f"the password has {len(password)} characters; {MIN_PASSWORD} to 256 are needed"
        )
    hashes = _read(path) if path.exists() else {}
    salt = secrets.token_bytes(16)
    hashes[name] = (salt, _hash(password, salt))
    lines = [
        f"{each}:scrypt:{salt.hex()}:{digest.hex()}\n"
        for each, (salt, digest) in sorted(hashes.items())
    ]
    try:
        write_private(path, "".join(lines).encode())
    except OSError as error:
        raise ConfigError(f"{path}: the user file cannot be written ({error})") from error


class Users:
    """The users of a file, and a pause after too many wrong passwords for one name.

    Args:
        path: file made by `add_user`; read again at each log-in, so that a removed user is out.
        clock: monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # name -> how many in a row, since when
        if not _read(path):
            raise ConfigError(f"{path}: holds no user; add one with `gasedge user add {path} NAME`")

    def knows(self, name: str, password: str) -> bool:
        """Whether this user has this password; always False during a pause."""
        hashes = _read(self._path)
        key = name if name in hashes else ""  # all unknown names share one place
        failures, since = self._failures.get(key, (0, 0.0))
        if failures >= _FREE_FAILURES:
            if self._clock() - since < _PAUSE_S:
                return False
            failures = 0
        salt, digest = hashes.get(name, _NOBODY)
        known = hmac.compare_digest(_hash(password[:256], salt), digest)
        self._failures[key] = (0 if known else failures + 1, self._clock())
        return known


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _read(path: Path) -> dict[str, tuple[bytes, bytes]]:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the user file cannot be read ({error})") from error
    if mode & 0o077:
        raise ConfigError(
            f"{path}: others may read the user file (mode {stat.filemode(mode)}); "
            f"run: chmod 600 {path}"
        )
    hashes = {}
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.strip())
        if found:
            hashes[found[1]] = (bytes.fromhex(found[2]), bytes.fromhex(found[3]))
        elif line.strip():
            raise ConfigError(
                f"{path}:{number}: is no line of a user file; `gasedge user` makes it"
            )
    return hashes
