"""The signed list of what is revoked, and files of public keys; the first byte says which."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from contract.errors import ConfigError, IntegrityError
from contract.signing_key import public_pem, read_public_key
from contract.signing_revocation import RevocationList, read_revocations, write_revocations
from tests.fuzz.target import BrokenPromiseError, Target
from tests.fuzz.targets.bundle import KEY, TRUST


def listed(folder):
    path = folder / "revoked.json"
    known = RevocationList(keys={"ab" * 8: "lost"}, models={"old": ""}, manifests={"cd" * 32: "x"})
    write_revocations(path, known, KEY)
    return path.read_bytes()


def seeds():
    with tempfile.TemporaryDirectory() as folder:
        data = listed(Path(folder))
    pem = public_pem(KEY)
    return [
        b"\0" + data,
        b"\0" + data.replace(b"lost", b"last"),
        b"\0[[[[]]]]",
        b"\0" + b"[" * 4000,
        b"\1" + pem,
        b"\1" + pem.replace(b"PUBLIC", b"PRIVATE"),
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        right = listed(Path(folder))

        def run(data):
            path.write_bytes(data[1:])
            if data[:1] == b"\1":
                with contextlib.suppress(ConfigError):
                    read_public_key(path)
                return
            with contextlib.suppress(IntegrityError):
                read_revocations(path, TRUST.keys)
                # the time stands in it: another run's list is as good
                if b'"lost"' not in data or len(data) != len(right) + 1:
                    raise BrokenPromiseError("a list that nobody signed is believed")

        yield run


TARGET = Target("revocations and public keys", opened, seeds)
