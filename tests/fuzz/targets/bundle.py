"""A bundle's manifest and signature: what a stranger wrote is refused, whatever it says.

The input is the manifest, a mark and the signature.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.bundle import MANIFEST, SIGNATURE, Bundle, create_bundle
from contract.errors import GasedgeError
from contract.geometry import InputGeometry
from contract.signing import Trust, sign_bundle, trusted_bundle
from tests.fuzz.target import BrokenPromiseError, Target

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUST = Trust((KEY.public_key().public_bytes_raw(),))
MARK = b"\0signature\0"


def made(folder):
    """A signed bundle with two small files."""
    bundle = create_bundle(
        folder / "fuzz.gasedge",
        {"model.fp32.onnx": b"a graph", "golden/a.frame.png": b"a picture"},
        model_id="fuzz",
        created_at="2026-01-01T00:00:00+00:00",
        input=InputGeometry(width=64, height=64),
        training={"epochs": 1},
        tools={"gasedge": "0.1.0"},
    )
    return sign_bundle(bundle, KEY, counter=3)


def parts_of(bundle):
    return (bundle.path / MANIFEST).read_bytes(), (bundle.path / SIGNATURE).read_bytes()


def seeds():
    with tempfile.TemporaryDirectory() as folder:
        manifest, signature = parts_of(made(Path(folder)))
    elsewhere = manifest.replace(b"model.fp32.onnx", b"../../etc/passwd")
    return [
        manifest + MARK + signature,
        manifest + MARK + signature[:-1],
        manifest + MARK + bytes(64),
        manifest,
        elsewhere + MARK + signature,
        manifest.replace(b'"size": 7', b'"size": 9999999999999') + MARK + signature,
        manifest.replace(b'"rollback_counter": 3', b'"rollback_counter": 2') + MARK + signature,
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        bundle = made(Path(folder))
        path = bundle.path
        right = parts_of(bundle)

        def run(data):
            manifest, _, signature = data.partition(MARK)
            (path / MANIFEST).write_bytes(manifest)
            (path / SIGNATURE).write_bytes(signature)
            with contextlib.suppress(GasedgeError):
                Bundle.open(path).verify()
            try:
                trusted_bundle(path, TRUST).verify()
            except GasedgeError:
                return
            if (manifest, signature) != right:
                raise BrokenPromiseError("a bundle that nobody signed is trusted")

        yield run


TARGET = Target("bundle, manifest and signature", opened, seeds)
