"""`gasedge bundle`: sign models, and say which ones are no longer to be trusted."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contract.bundle import Bundle
    from contract.signing import Trust

__all__ = ["command"]

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_passphrase_file = click.option(
    "--passphrase-file",
    type=_FILE,
    help="Its first line opens the key; mode 0600. [default: asked for]",
)
_key = click.option("--key", type=_FILE, required=True, help="Private key, of bundle keygen.")


@click.group("bundle")
def command() -> None:
    """Make keys, sign bundles with them, check signatures, revoke.

    A device runs a bundle only when one of the public keys in its configuration signed it.
    """


@command.command()
@click.argument("folder", type=_PATH)
@_passphrase_file
def keygen(folder: Path, passphrase_file: Path | None) -> None:
    """Make a pair of keys in FOLDER: signing.key, which stays here, and signing.pub for devices.

    The private key is encrypted with a passphrase and readable by you alone. Keep it where models
    are released, never on a device.
    """
    from contract.signing import key_id
    from contract.signing_key import make_keys, read_public_key

    private, public = make_keys(folder, _passphrase(passphrase_file, confirm=True))
    click.echo(f"{private}: key {key_id(read_public_key(public))}, keep it and its passphrase safe")
    click.echo(f'{public}: for devices, [trust] keys = ["{public.name}"]')


@command.command()
@click.argument("bundle", type=_PATH)
@_key
@_passphrase_file
@click.option(
    "--counter",
    type=click.IntRange(0),
    help="New rollback counter: raise it when devices must never run an earlier bundle again. "
    "[default: as it is]",
)
def sign(bundle: Path, key: Path, passphrase_file: Path | None, counter: int | None) -> None:
    """Sign BUNDLE once every file of it was found to be as its manifest says.

    Signing is the last step: whatever changes the bundle afterwards takes the signature away.
    """
    from contract.bundle import Bundle
    from contract.signing import sign_bundle

    signed = sign_bundle(Bundle.open(bundle), _opened(key, passphrase_file), counter=counter)
    click.echo(f"{signed.path}: {_facts(signed)}")


@command.command()
@click.argument("bundle", type=_PATH)
@click.option("--key", "keys", type=_FILE, multiple=True, help="Public key that may have signed.")
@click.option("--revoked", type=_FILE, help="With --key: a list by bundle revoke.")
@click.option("--config", type=_FILE, help="Ask as the device with this configuration does.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    bundle: Path, keys: tuple[Path, ...], revoked: Path | None, config: Path | None, as_json: bool
) -> None:
    """Check the signature of BUNDLE, and every file against its manifest.

    Exit code 1 when it would not run: unsigned, signed by another key, changed, revoked, too old.
    """
    from contract.signing import trusted_bundle

    if bool(keys) == bool(config):
        raise click.UsageError("give --key, or --config of a device")
    if revoked is not None and config is not None:
        raise click.UsageError("--revoked goes with --key; a configuration names its own list")
    trusted = trusted_bundle(bundle, _trust(keys, revoked) if config is None else _own(config))
    trusted.verify()
    if as_json:
        click.echo(json.dumps(_as_json(trusted)))
        return
    click.echo(f"{bundle}: OK, {_facts(trusted)}, {len(trusted.manifest.files)} files")


@command.command()
@click.argument("bundle", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(bundle: Path, as_json: bool) -> None:
    """Print what BUNDLE says of itself; whether that is true, `gasedge bundle verify` says."""
    from contract.bundle import SIGNATURE, Bundle

    opened = Bundle.open(bundle)
    manifest, has_signature = opened.manifest, (opened.path / SIGNATURE).is_file()
    if as_json:
        click.echo(json.dumps(_as_json(opened) | {"has_signature": has_signature}))
        return
    size = sum(each.size for each in manifest.files.values())
    says = f"says key {manifest.signing_key}; not checked here" if has_signature else "no"
    rows = {
        "model": manifest.model_id,
        "made": manifest.created_at,
        "input": f"{manifest.input.width}x{manifest.input.height}",
        "classes": ", ".join(each.name for each in manifest.classes),
        "precisions": ", ".join(opened.precisions),
        "golden frames": len(manifest.golden),
        "files": f"{len(manifest.files)}, {size / 1e6:.1f} MB",
        "manifest": opened.manifest_sha256,
        "rollback counter": manifest.rollback_counter,
        "signed": says,
    }
    for name, value in rows.items():
        click.echo(f"{name:<17} {value}")


@command.command()
@click.argument("bundle", type=_PATH)
@click.argument("out", type=_FILE, required=False)
def pack(bundle: Path, out: Path | None) -> None:
    """Write signed BUNDLE to OUT (NAME.gasedge.tar, beside it by default), for transport."""
    from contract.bundle import Bundle
    from contract.bundle_tar import pack_bundle

    packed = pack_bundle(Bundle.open(bundle), out)
    click.echo(f"{packed}: {packed.stat().st_size / 1e6:.1f} MB")


@dataclass(frozen=True, slots=True)
class _Named:
    """What one call of `revoke` names."""

    keys: tuple[str, ...]
    models: tuple[str, ...]
    manifests: tuple[str, ...]


def _names(function: Callable[..., None]) -> Callable[..., None]:
    for option, name, said in (
        ("--revoke-key", "revoked_keys", "Key id, as shown by sign and verify."),
        ("--model", "models", "Model id: every bundle of it."),
        ("--manifest", "manifests", "SHA-256 of a manifest: this one bundle."),
    ):
        function = click.option(option, name, multiple=True, help=said)(function)
    return function


@command.command()
@click.argument("file", type=_FILE)
@_key
@_passphrase_file
@_names
@click.option("--why", default="", help="Reason, kept in the list.")
@click.option("--previous", type=_FILE, help="Public key that signed FILE until now, if another.")
def revoke(
    *,
    file: Path,
    key: Path,
    passphrase_file: Path | None,
    revoked_keys: tuple[str, ...],
    models: tuple[str, ...],
    manifests: tuple[str, ...],
    why: str,
    previous: Path | None,
) -> None:
    """Add to FILE, the signed list that devices name as [trust] revoked; without it, a new one.

    Put the file on every device; it counts when a model is opened or applied the next time.
    """
    from contract.signing_revocation import write_revocations

    named = _Named(revoked_keys, models, manifests)
    if not any((named.keys, named.models, named.manifests)):
        raise click.UsageError("say what: --model, --manifest or --revoke-key")
    private = _opened(key, passphrase_file)
    after = _revoking(file, named, why, private, previous)
    issue = write_revocations(file, after, private)
    counts = f"{len(issue.keys)} keys, {len(issue.models)} models, {len(issue.manifests)} manifests"
    click.echo(f"{file}: issue {issue.issue}, {counts}")


def _revoking(file: Path, named: _Named, why: str, key: Any, previous: Path | None) -> Any:
    """The list in `file`, if there is one, with more in it."""
    from pydantic import ValidationError

    from contract.errors import ConfigError
    from contract.signing import raw_public
    from contract.signing_key import read_public_key
    from contract.signing_revocation import RevocationList, read_revocations

    before = RevocationList()
    if file.exists():
        signer = raw_public(key) if previous is None else read_public_key(previous)
        before = read_revocations(file, (signer,))

    def added(old: dict[str, str], new: Sequence[str]) -> dict[str, str]:
        return old | dict.fromkeys(new, why)

    try:
        return RevocationList(
            issue=before.issue,
            keys=added(before.keys, named.keys),
            models=added(before.models, named.models),
            manifests=added(before.manifests, named.manifests),
        )
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(f"{fault['input']!r} cannot be revoked: {fault['msg']}") from error


def _opened(key: Path, passphrase_file: Path | None) -> Any:
    from contract.signing_key import read_private_key

    return read_private_key(key, _passphrase(passphrase_file))


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    from contract.errors import ConfigError
    from contract.signing_key import read_passphrase

    if file is not None:
        return read_passphrase(file)
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to type a passphrase: give --passphrase-file")
    typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return typed


def _trust(keys: Sequence[Path], revoked: Path | None) -> Trust:
    from contract.signing import Revoked, Trust
    from contract.signing_key import read_public_keys
    from contract.signing_revocation import read_revocations

    public = read_public_keys(keys)
    listed = Revoked() if revoked is None else read_revocations(revoked, public).revoked
    return Trust(public, listed)


def _own(config: Path) -> Trust:
    from edge_runtime.config import load_daemon_config
    from edge_runtime.model_trust import trust_of

    return trust_of(load_daemon_config(config))


def _facts(bundle: Bundle) -> str:
    return (
        f"{bundle.manifest.model_id} signed by key {bundle.signed_by}, rollback counter "
        f"{bundle.manifest.rollback_counter}, manifest {bundle.manifest_sha256[:12]}"
    )


def _as_json(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest.model_dump(mode="json")
    return {
        "bundle": str(bundle.path),
        "signed_by": bundle.signed_by,  # null: not checked
        "manifest_sha256": bundle.manifest_sha256,
        "manifest": manifest,
    }
