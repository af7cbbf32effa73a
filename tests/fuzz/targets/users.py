"""The file of users, their hashes and roles."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from contract.errors import ConfigError
from edge_runtime.plant.users import Users, roles_in
from tests.fuzz.target import BrokenPromiseError, Target


def seeds():
    line = f"operator:scrypt:{'0a' * 16}:{'0b' * 32}"
    return [f"{line}:{role}\n".encode() for role in ("viewer", "operator", "engineer")] + [
        line.encode(),
        f"{line}\n\nsecond@site.example:scrypt:{'1a' * 16}:{'1b' * 32}:viewer\n".encode(),
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users"
        path.touch(mode=0o600)

        def run(data):
            path.write_bytes(data)
            try:
                roles = roles_in(path)
                users = Users(path)
            except ConfigError:
                return
            for name, role in roles.items():
                if users.role(name) is not role:
                    raise BrokenPromiseError(f"{name!r} is a {role} and is not")

        yield run


TARGET = Target("users file", opened, seeds)
