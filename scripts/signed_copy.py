"""A bundle that a daemon of this script may run: as it is where its key stands by, else a copy."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

from contract.bundle import SIGNATURE, Bundle
from contract.packages import need
from contract.signing import sign_bundle
from contract.signing_key import public_pem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["signed_copy"]


def signed_copy(bundle: Path, folder: Path) -> tuple[Path, Path]:
    """The bundle and the public key that signed it.

    A bundle with a key `<name>.pub` beside it is taken as it is. Any other one is copied into
    `folder` and signed there with a key that nobody keeps.
    """
    key_file = bundle.with_suffix(".pub")
    if key_file.exists() and (bundle / SIGNATURE).exists():
        return bundle, key_file
    manifest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    copy = folder / f"signed-{manifest[:16]}.gasedge"  # another bundle of this name is another
    if not copy.exists():
        key = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cpu")
        shutil.copytree(bundle, copy)
        private = key.Ed25519PrivateKey.generate()
        copy.with_suffix(".pub").write_bytes(public_pem(private))
        sign_bundle(Bundle.open(copy), private)
    return copy, copy.with_suffix(".pub")
