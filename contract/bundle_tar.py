"""A bundle as one file for transport: a plain tar in which the signature comes first.

Whoever unpacks it can check the signature, and then the name and size of every file, before it
writes the next one. The same bundle gives the same bytes.
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from contract.atomic import new_file
from contract.bundle import BUNDLE_SUFFIX, MANIFEST, SIGNATURE, read_manifest, read_signature
from contract.errors import ConfigError, GasedgeError

if TYPE_CHECKING:
    from pathlib import Path

    from contract.bundle import Bundle

__all__ = ["TAR_SUFFIX", "pack_bundle"]

TAR_SUFFIX = ".tar"


def pack_bundle(bundle: Bundle, out: Path | None = None) -> Path:
    """Write a signed bundle to `out`, a tar file, every file of it checked.

    Args:
        bundle: to pack.
        out: `<name>.gasedge.tar`, beside the bundle when it is None.

    Raises:
        ConfigError: when the name does not end so, or `out` is there.
        IntegrityError: when the bundle is not signed or a file differs from the manifest.
        GasedgeError: when the disk refuses or a name is too long for tar.
    """
    suffix = BUNDLE_SUFFIX + TAR_SUFFIX
    path = bundle.path.resolve()
    path = path.with_name(f"{path.stem}{suffix}") if out is None else out
    if not path.name.endswith(suffix):
        raise ConfigError(f"{path}: a packed bundle's name ends in {suffix}")
    if path.exists():
        raise ConfigError(f"{path}: is there already; remove it or give another name")
    first = {SIGNATURE: read_signature(bundle.path), MANIFEST: read_manifest(bundle.path)}
    with new_file(path) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in (*first, *sorted(bundle.manifest.files)):
            data = first[name] if name in first else bundle.read(name)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            try:
                tar.addfile(entry, io.BytesIO(data))
            except ValueError as error:
                raise GasedgeError(
                    f"{bundle.path}: {name} does not go into tar ({error})"
                ) from error
    return path
