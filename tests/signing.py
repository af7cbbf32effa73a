"""The key that signs the tests' bundles, and what a device that trusts it opens.

It is made of a fixed seed, so that a bundle which is kept between runs stays trusted.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.bundle import Bundle
from contract.signing import Trust, raw_public, sign_bundle, trusted_bundle
from contract.signing_key import public_pem

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.config import ModelConfig
    from edge_runtime.model import RunningModel

KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"gasedge's tests").digest())
TRUST = Trust(keys=(raw_public(KEY),))
PUBLIC = "tests.pub"
TRUST_TABLE = f'[trust]\nkeys = ["{PUBLIC}"]\n'


def sign(bundle: Path, *, counter: int | None = None) -> Bundle:
    """Sign the bundle in a folder as it stands there now."""
    return sign_bundle(Bundle.open(bundle), KEY, counter=counter)


def put_public_key(folder: Path) -> Path:
    """The public key's file, which `TRUST_TABLE` names from a configuration beside it."""
    path = folder / PUBLIC
    path.write_bytes(public_pem(KEY))
    return path


def open_signed(config: ModelConfig) -> RunningModel:
    """Open a model as a device does that trusts the tests' key."""
    from edge_runtime.model import open_model

    return open_model(config, trusted_bundle(config.bundle, TRUST))
