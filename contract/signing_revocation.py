"""The list of what is no longer trusted: keys, models and single manifests, signed as bundles are.

A JSON file with `signed`, the list, and `signature`, the Ed25519 signature of the list's canonical
bytes in hexadecimal. It differs from a manifest in its fields, so neither passes for the other.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.atomic import sha256_of_bytes, write_bytes
from contract.bundle import canonical_json
from contract.errors import IntegrityError
from contract.plain_file import read_plain
from contract.signing import Revoked, Trust, signer_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RevocationList", "SeenRevocations", "read_revocations", "write_revocations"]

_LARGEST = 1 << 20  # bytes

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Why = Annotated[str, Field(max_length=200)]


class RevocationList(BaseModel):
    """What is revoked, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["gasedge-revocation"] = "gasedge-revocation"
    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    issue: Annotated[int, Field(ge=0)] = 0  # counts up with each change
    issued_at: str = ""  # ISO 8601, UTC
    keys: dict[KeyId, Why] = {}
    models: dict[ModelId, Why] = {}
    manifests: dict[Sha256, Why] = {}

    @property
    def revoked(self) -> Revoked:
        """What a device asks."""
        return Revoked(frozenset(self.keys), frozenset(self.models), frozenset(self.manifests))

    @property
    def sha256(self) -> str:
        """Of what it says, whoever signed it."""
        return sha256_of_bytes(canonical_json(self.model_dump(mode="json")))


class SeenRevocations(BaseModel):
    """What a device remembers of the lists that it has believed.

    Without it, an earlier list would give back what a later one took away, and a key that was
    revoked could sign a list that does not name it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issue: Annotated[int, Field(ge=0)] = 0  # the highest
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""  # of that list
    keys: tuple[KeyId, ...] = ()  # that any of them revoked

    def after(self, listed: RevocationList) -> SeenRevocations:
        """With one more list, which was believed."""
        keys = tuple(sorted({*self.keys, *listed.keys}))
        return SeenRevocations(issue=listed.issue, sha256=listed.sha256, keys=keys)


def read_revocations(
    path: Path, keys: tuple[bytes, ...], seen: SeenRevocations | None = None
) -> RevocationList:
    """The list in a file.

    Args:
        path: the file.
        keys: raw public keys; any of them may have signed it.
        seen: what this device remembers of earlier lists.

    Raises:
        IntegrityError: when it cannot be read, is no list, is signed by none of the keys or by one
            that was revoked before, is older than what was seen, or another of the same issue.
    """
    data = read_plain(path, most=_LARGEST, follow=True)
    try:
        content = json.loads(data)
        signed, signature = content["signed"], bytes.fromhex(content["signature"])
        whole = canonical_json({"signature": signature.hex(), "signed": signed}) == data
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(f"{path}: is no list made by gasedge bundle revoke") from error
    if not whole:
        raise IntegrityError(f"{path}: is not as gasedge bundle revoke wrote it; fetch it again")
    how = "fetch it again, or make it anew by gasedge bundle revoke"
    signer = signer_of(canonical_json(signed), signature, Trust(keys), what=str(path), how=how)
    try:
        listed = RevocationList.model_validate(signed)
    except ValidationError as error:
        says = error.errors()[0]["msg"]
        raise IntegrityError(f"{path}: is no list of revocations ({says})") from error
    if seen is not None and listed.sha256 != seen.sha256:  # a key may have revoked itself
        if listed.issue == seen.issue and seen.sha256:
            raise IntegrityError(
                f"{path}: says something else than the issue {seen.issue} that this device has "
                "seen; make one list of both: gasedge bundle revoke counts its issues up"
            )
        if listed.issue < seen.issue:
            raise IntegrityError(
                f"{path}: is issue {listed.issue}, and this device has seen issue {seen.issue}; "
                "bring the latest list"
            )
        if signer in seen.keys:
            raise IntegrityError(
                f"{path}: is signed by key {signer}, which an earlier list revoked; sign it by "
                "another: gasedge bundle revoke --key NEW --previous OLD.pub"
            )
    return listed


def write_revocations(path: Path, revoked: RevocationList, key: Any) -> RevocationList:
    """Sign the next issue of a list and write it.

    Args:
        path: the file.
        revoked: what it holds.
        key: an Ed25519 private key of the package cryptography.

    Raises:
        GasedgeError: when the disk refuses.
    """
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
    issue = revoked.model_copy(update={"issue": revoked.issue + 1, "issued_at": now})
    signed = issue.model_dump(mode="json")
    signature = key.sign(canonical_json(signed)).hex()
    write_bytes(path, canonical_json({"signature": signature, "signed": signed}))
    return issue
