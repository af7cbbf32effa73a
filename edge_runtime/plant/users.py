"""Names, salted password hashes and roles in a file: who may log in, and what they may do then.

There is no default password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from contract.errors import ConfigError
from contract.private_file import require_private, write_private
from contract.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MIN_PASSWORD", "Users", "add_user", "remove_user", "roles_in"]

MIN_PASSWORD = 10
_N, _R, _P = 1 << 14, 8, 1  # 16 MB and some 50 ms each
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_LINE = re.compile(
    r"([A-Za-z0-9_.@-]{1,64}):scrypt:([0-9a-f]{32}):([0-9a-f]{64})(?::(viewer|operator|engineer))?"
)
_FREE_FAILURES = 5
_PAUSE_S = 10.0
_PLACES = 1024  # where failures are counted; a name may meet another one there, seldom


class _Kept(NamedTuple):
    """What the file holds of a user."""

    salt: bytes
    digest: bytes
    role: Role


# hashed for a name that is not there: same time, no match
_NOBODY = _Kept(b"nobody's salt...", b"", Role.VIEWER)


def add_user(path: Path, name: str, password: str, role: Role | None = None) -> Role:
    """Add a user to the file, or give an old one a new password; the file is made if missing.

    Args:
        path: the user file.
        name: of the user.
        password: what the user logs in with.
        role: None keeps an old user's and makes a new one a viewer.

    Returns:
        The role as it stands in the file now.

    Raises:
        ConfigError: when the name or password is not fit, or the file is no user file.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"user name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . @ -")
    if not MIN_PASSWORD <= len(password) <= 256:
        raise ConfigError(
            f"the password has {len(password)} characters; {MIN_PASSWORD} to 256 are needed"
        )
    kept = _read(path) if path.exists() else {}
    if role is None:
        role = kept[name].role if name in kept else Role.VIEWER
    salt = secrets.token_bytes(16)
    kept[name] = _Kept(salt, _hash(password, salt), role)
    _write(path, kept)
    return role


def remove_user(path: Path, name: str) -> None:
    """Take a user out of the file: from the next log-in or action on, nobody of that name.

    Raises:
        ConfigError: when there is no such user or the file is no user file.
    """
    kept = _read(path)
    if kept.pop(name, None) is None:
        raise ConfigError(f"{path}: holds no user {name!r}, but {', '.join(sorted(kept))}")
    _write(path, kept)


def roles_in(path: Path) -> dict[str, Role]:
    """Every user of the file with the role.

    Raises:
        ConfigError: when the file is no user file.
    """
    return {name: each.role for name, each in sorted(_read(path).items())}


def _write(path: Path, kept: dict[str, _Kept]) -> None:
    lines = [
        f"{name}:scrypt:{each.salt.hex()}:{each.digest.hex()}:{each.role.label}\n"
        for name, each in sorted(kept.items())
    ]
    try:
        write_private(path, "".join(lines).encode())
    except OSError as error:
        raise ConfigError(f"{path}: the user file cannot be written ({error})") from error


class Users:
    """The users of a file, and a pause after too many wrong passwords for a name from one place.

    Args:
        path: file made by `add_user`; read again at each log-in, so that a removed user is out.
        clock: monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._failures: dict[int, tuple[int, float]] = {}  # how many in a row, since when
        if not _read(path):
            raise ConfigError(f"{path}: holds no user; add one with `gasedge user add {path} NAME`")

    def log_in(self, name: str, password: str, origin: str = "") -> Role | None:
        """The user's role, or None: no such user, another password, or a pause.

        Args:
            name: as given; whether there is such a user does not show in the time that this takes.
            password: as given.
            origin: of the client: who guesses pauses a name there, not for everybody.
        """
        users = _read(self._path)
        key = hash((name, origin)) % _PLACES  # Python's is another one in each process
        failures, since = self._failures.get(key, (0, 0.0))
        if failures >= _FREE_FAILURES:
            if self._clock() - since < _PAUSE_S:
                return None
            failures = 0
        kept = users.get(name, _NOBODY)
        known = hmac.compare_digest(_hash(password[:256], kept.salt), kept.digest)
        self._failures[key] = (0 if known else failures + 1, self._clock())
        return kept.role if known else None

    def role(self, name: str) -> Role | None:
        """What a user who logged in before may do now; None for who was removed since."""
        kept = _read(self._path).get(name)
        return None if kept is None else kept.role


def _hash(password: str, salt: bytes) -> bytes:
    given = password.encode(errors="surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _read(path: Path) -> dict[str, _Kept]:
    try:
        require_private(path, "user file")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the user file cannot be read ({error})") from error
    kept = {}
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.strip())
        if found:
            role = Role[found[4].upper()] if found[4] else Role.VIEWER  # older lines have none
            kept[found[1]] = _Kept(bytes.fromhex(found[2]), bytes.fromhex(found[3]), role)
        elif line.strip():
            raise ConfigError(
                f"{path}:{number}: is no line of a user file; `gasedge user` makes it"
            )
    return kept
