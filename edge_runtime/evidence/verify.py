"""Whether an event's folder still is what the device wrote and signed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_file
from contract.errors import InputError
from contract.packages import need
from edge_runtime.evidence.device_key import fingerprint
from edge_runtime.evidence.event_folder import MANIFEST, PUBLIC, SIGNATURE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Verdict", "verify_event"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in one folder."""

    folder: str
    camera: str
    event_ids: tuple[str, ...]
    manifest_sha256: str
    key_sha256: str  # of the public key that lies in the folder
    faults: tuple[str, ...]  # empty: every byte is as it was signed


def verify_event(folder: Path, trusted_pem: bytes | None = None) -> Verdict:
    """Check an event's signature and every file.

    Args:
        folder: of the event.
        trusted_pem: public key of the device that is known to be its own; without it the key in
            the folder is taken, which shows that nothing was changed by somebody without a key of
            their own to sign anew with.

    Raises:
        InputError: when there is no evidence, or the trusted key is none.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise InputError(f"{folder / MANIFEST}: cannot be read ({error.strerror})") from error
    try:
        manifest = dict(json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        manifest = {}
        unreadable = [f"{MANIFEST}: is no JSON object ({error})"]
    else:
        unreadable = []
    public = _read(folder / PUBLIC)
    faults = unreadable + _faults_of_signature(folder, data, public, trusted_pem)
    faults += _faults_of_files(folder, manifest.get("files"))
    ids = manifest.get("event_ids")
    return Verdict(
        folder=folder.name,
        camera=str(manifest.get("camera")),
        event_ids=tuple(str(each) for each in ids) if isinstance(ids, list) else (),
        manifest_sha256=hashlib.sha256(data).hexdigest(),
        key_sha256=fingerprint(public),
        faults=tuple(faults),
    )


def _faults_of_signature(
    folder: Path, data: bytes, public: bytes, trusted_pem: bytes | None
) -> list[str]:
    serialization = need("cryptography.hazmat.primitives.serialization", extra="scada")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="scada")
    exceptions = need("cryptography.exceptions", extra="scada")
    faults = []
    trusted = None
    if trusted_pem is not None:
        try:
            trusted = serialization.load_pem_public_key(trusted_pem)
        except ValueError as error:
            raise InputError(f"the key to trust is no PEM public key ({error})") from error
    try:
        key = serialization.load_pem_public_key(public)
        if trusted is not None and trusted != key:
            faults.append(f"{PUBLIC}: is not the key that you trust")
            key = trusted
        if not isinstance(key, ed25519.Ed25519PublicKey):
            return [*faults, f"{PUBLIC}: is no Ed25519 key"]
        key.verify(_read(folder / SIGNATURE), data)
    except exceptions.InvalidSignature:
        faults.append(f"{MANIFEST}: its signature does not fit")
    except ValueError:
        faults.append(f"{PUBLIC}: is no public key")
    return faults


def _faults_of_files(folder: Path, files: Any) -> list[str]:
    if not isinstance(files, dict):
        return [f"{MANIFEST}: names no files"]
    faults = []
    for name, entry in sorted(files.items()):
        path = folder / name
        if path.parent != folder or not path.is_file() or path.is_symlink():
            faults.append(f"{name}: is missing")
        elif not isinstance(entry, dict) or sha256_of_file(path) != entry.get("sha256"):
            faults.append(f"{name}: was changed")
    known = {*files, MANIFEST, SIGNATURE}
    faults += [
        f"{each.name}: was put in" for each in sorted(folder.iterdir()) if each.name not in known
    ]
    return faults


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
