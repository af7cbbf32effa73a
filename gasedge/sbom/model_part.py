"""The model that the daemon of a configuration runs: its files by hash, and who signed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.atomic import sha256_of_file
from contract.bundle import Bundle
from contract.errors import GasedgeError, InputError
from contract.signing import trusted_bundle

if TYPE_CHECKING:
    from edge_runtime.config import DaemonConfig

__all__ = ["model_part"]


def model_part(config: DaemonConfig) -> dict[str, Any]:
    """A component of CycloneDX; a model that is not trusted is listed with the reason.

    Raises:
        GasedgeError: when there is no bundle, or its manifest cannot be read.
    """
    from edge_runtime.model_trust import trust_of
    from edge_runtime.slots.store import settled

    model = settled(config.model)
    bundle = Bundle.open(model.bundle)
    manifest = bundle.manifest
    try:
        signed = f"key {trusted_bundle(model.bundle, trust_of(config)).signed_by}"
    except GasedgeError as error:
        signed = f"not trusted: {error}"
    files = [_file(name, entry.sha256) for name, entry in sorted(manifest.files.items())]
    if model.engine is not None:
        try:
            files.append(_file(model.engine.name, sha256_of_file(model.engine)))
        except OSError as error:
            raise InputError(f"{model.engine}: cannot be read ({error.strerror})") from error
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{bundle.manifest_sha256}",
        "name": manifest.model_id,
        "version": f"{manifest.rollback_counter}",
        "description": "version is the rollback counter; the hash is that of manifest.json",
        "hashes": [{"alg": "SHA-256", "content": bundle.manifest_sha256}],
        "properties": [
            {"name": "gasedge:signature", "value": signed},
            {"name": "gasedge:precision", "value": str(model.precision)},
            {"name": "gasedge:created", "value": manifest.created_at},
        ],
        "components": files,
    }


def _file(name: str, sha256: str) -> dict[str, Any]:
    return {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": sha256}]}
