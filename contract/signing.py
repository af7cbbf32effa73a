"""Who may give a device a model: Ed25519 signatures of manifests, and what a device trusts.

`manifest.sig` holds the 64 bytes of the signature (RFC 8032) of `manifest.json` as it stands, so
that `openssl pkeyutl -verify -rawin` checks it, too. The signature is checked before the manifest
is parsed, and the manifest names every other file by its hash, which is checked before that file is
parsed: no byte of a stranger reaches a parser of models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_bytes, write_bytes
from contract.bundle import (
    MANIFEST,
    SIGNATURE,
    Bundle,
    canonical_json,
    read_manifest,
    read_signature,
)
from contract.errors import ConfigError, IntegrityError
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Revoked",
    "Trust",
    "key_id",
    "raw_public",
    "sign_bundle",
    "signer_of",
    "trusted_bundle",
]


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is no longer trusted although its signature is right."""

    keys: frozenset[str] = frozenset()  # key ids
    models: frozenset[str] = frozenset()  # model ids
    manifests: frozenset[str] = frozenset()  # SHA-256 of manifest.json, hexadecimal


@dataclass(frozen=True, slots=True)
class Trust:
    """What a device lets run."""

    keys: tuple[bytes, ...]  # raw Ed25519 public keys, 32 bytes each; any of them may have signed
    revoked: Revoked = Revoked()
    least_counter: int = 0  # rollback counter below which a bundle is too old


def key_id(public: bytes) -> str:
    """The first 8 bytes of the SHA-256 of a raw public key, as 16 hexadecimal digits."""
    return sha256_of_bytes(public)[:16]


def trusted_bundle(path: Path, trust: Trust) -> Bundle:
    """Open the bundle at `path` if it may run here; its `signed_by` then names the key.

    Raises:
        InputError: when `path` is no bundle.
        IntegrityError: when it is unsigned, signed by none of the keys, changed since, revoked or
            older than the counter.
        ConfigError: when no key is trusted.
        MissingPackageError: without the package cryptography.
    """
    path = Path(path)
    if not trust.keys:
        raise ConfigError(f"{path}: cannot be trusted: no public key is configured")
    data = read_manifest(path)
    signed_by = signer_of(
        data, read_signature(path), trust, what=str(path), how="gasedge bundle sign signs it anew"
    )
    bundle = Bundle.parsed(path, data, signed_by=signed_by)
    manifest = bundle.manifest
    if canonical_json(json.loads(data)) != data:
        raise IntegrityError(
            f"{path / MANIFEST}: is signed, but not as gasedge writes it; sign it anew by gasedge "
            "bundle sign"
        )
    if manifest.signing_key != signed_by:
        raise IntegrityError(
            f"{path}: names {manifest.signing_key or 'no key'} as its signing key, but {signed_by} "
            "signed it; sign it anew by gasedge bundle sign"
        )
    if manifest.model_id in trust.revoked.models:
        raise IntegrityError(f"{path}: its model {manifest.model_id} is revoked; take a later one")
    if bundle.manifest_sha256 in trust.revoked.manifests:
        raise IntegrityError(
            f"{path}: is revoked (manifest {bundle.manifest_sha256[:12]}..); take a later one"
        )
    if manifest.rollback_counter < trust.least_counter:
        raise IntegrityError(
            f"{path}: is too old: its rollback counter is {manifest.rollback_counter}, and this "
            f"device has run one with {trust.least_counter}"
        )
    return bundle


def sign_bundle(bundle: Bundle, key: Any, *, counter: int | None = None) -> Bundle:
    """Sign a bundle whose files are all as its manifest says; an earlier signature goes.

    Args:
        bundle: to sign.
        key: an Ed25519 private key of the package cryptography.
        counter: the new rollback counter; None keeps it.

    Raises:
        IntegrityError: when a file differs from the manifest.
        ConfigError: when `counter` is lower than what the manifest has.
        GasedgeError: when the disk refuses.
    """
    bundle.verify()
    had = bundle.manifest.rollback_counter
    if counter is not None and counter < had:
        raise ConfigError(f"{bundle.path}: has rollback counter {had}; {counter} is lower")
    public = raw_public(key)
    changes = {"rollback_counter": had if counter is None else counter}
    signed = bundle.updated({}, signing_key=key_id(public), **changes)
    write_bytes(signed.path / SIGNATURE, key.sign(read_manifest(signed.path)))
    return trusted_bundle(signed.path, Trust(keys=(public,)))


def signer_of(data: bytes, signature: bytes, trust: Trust, *, what: str, how: str) -> str:
    """The id of the trusted key that signed `data`.

    Args:
        data: the signed bytes.
        signature: 64 bytes.
        trust: its keys, and which of them are revoked.
        what: is signed, for messages.
        how: to get it signed, for messages.

    Raises:
        IntegrityError: when none of them did, or the one that did is revoked.
    """
    found = next((key for key in trust.keys if _is_signed_by(key, data, signature)), None)
    if found is None:
        raise IntegrityError(
            f"{what}: was changed since it was signed, or is signed by none of the trusted keys "
            f"({_ids(trust.keys)}); {how}"
        )
    if key_id(found) in trust.revoked.keys:
        raise IntegrityError(f"{what}: is signed by key {key_id(found)}, which is revoked; {how}")
    return key_id(found)


def _is_signed_by(public: bytes, data: bytes, signature: bytes) -> bool:
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
    exceptions = need("cryptography.exceptions", extra="cpu")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except exceptions.InvalidSignature:
        return False
    return True


def raw_public(key: Any) -> bytes:
    """The 32 bytes of the public half of a private key."""
    serialization = need("cryptography.hazmat.primitives.serialization", extra="cpu")
    raw: bytes = key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return raw


def _ids(keys: Iterable[bytes]) -> str:
    return ", ".join(map(key_id, keys))
