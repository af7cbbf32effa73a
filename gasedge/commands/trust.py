"""`gasedge trust`: which OPC UA clients may enter, and the device's own certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.plant.trust import Certificate

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def command() -> None:
    """Enrol OPC UA clients by their certificates, and renew the device's own.

    A client that is not trusted yet and knocks is turned away, and its certificate kept in the
    folder `rejected` beside the device's own: `gasedge trust add` takes it from there.
    """


@command.command("list")
@click.argument("folder", type=_FOLDER)
def show(folder: Path) -> None:
    """Print every certificate in FOLDER: the trusted ones, or those that were rejected."""
    from edge_runtime.plant.trust import trusted_certificates

    for path, certificate in trusted_certificates(folder).items():
        click.echo(f"{path}")
        _describe(certificate)


@command.command()
@click.argument("folder", type=_FOLDER)
@click.argument("cert", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask: the fingerprint was compared before.")
def add(folder: Path, cert: Path, yes: bool) -> None:
    """Let the client with certificate CERT (DER or PEM) enter: put it into FOLDER.

    Compare the fingerprint with what the client itself shows, over another way than the network.
    """
    import datetime as dt

    from contract.errors import ConfigError, InputError
    from edge_runtime.plant.trust import read_certificate, trust

    try:
        certificate = read_certificate(cert.read_bytes())
    except OSError as error:
        raise InputError(f"{cert}: cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{cert}: {error}") from error
    _describe(certificate)
    fault = certificate.fault(dt.datetime.now(dt.timezone.utc))
    if fault is not None:
        raise ConfigError(f"{cert}: not trusted: {fault}")
    if not yes:
        click.confirm("Does the client itself show this fingerprint?", abort=True)
    click.echo(f"trusted: {trust(folder, certificate)}")


@command.command()
@click.argument("folder", type=_FOLDER)
@click.argument("fingerprint")
def remove(folder: Path, fingerprint: str) -> None:
    """Let the client whose certificate begins with FINGERPRINT enter no more."""
    from edge_runtime.plant.trust import remove_trusted

    click.echo(f"no longer trusted: {remove_trusted(folder, fingerprint).subject}")


@command.command()
@click.argument("state_dir", type=_FOLDER)
def renew(state_dir: Path) -> None:
    """Make the device a new certificate with its old key in STATE_DIR; then enrol it at clients.

    A running daemon takes it within a minute; its OPC UA clients are disconnected then.
    """
    from edge_runtime.plant.device_certificate import renew_certificate
    from edge_runtime.plant.trust import read_certificate

    path = renew_certificate(state_dir)
    click.echo(f"{path}: let the clients trust it")
    _describe(read_certificate(path.read_bytes()))


def _describe(certificate: Certificate) -> None:
    def in_pairs(text: str) -> str:
        return ":".join(text[place : place + 2] for place in range(0, len(text), 2))

    click.echo(f"  subject      {_printable(certificate.subject)}")
    for uri in certificate.uris:
        click.echo(f"  application  {_printable(uri)}")
    begins, ends = certificate.valid_from, certificate.valid_until
    click.echo(f"  valid        {begins:%Y-%m-%d} to {ends:%Y-%m-%d}")
    click.echo(f"  SHA-256      {in_pairs(certificate.fingerprint)}")
    click.echo(f"  SHA-1        {in_pairs(certificate.thumbprint)}")


def _printable(text: str) -> str:
    """A stranger's words, without what would move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)[:200]
