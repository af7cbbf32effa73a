"""`gasedge evidence`: whether what was kept of a leak is unchanged."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.group()
def command() -> None:
    """Check what the daemon kept of leaks."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="The device's public key (evidence-public.pem), got by a way that you trust.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event.")
def verify(folder: Path, key: Path | None, as_json: bool) -> None:
    """Check the signature and every byte of an event's FOLDER, or of all events in it.

    Exit code 3 when a byte differs.
    """
    from contract.errors import CheckError, InputError
    from edge_runtime.evidence.event_folder import MANIFEST
    from edge_runtime.evidence.verify import verify_event

    try:
        trusted = None if key is None else key.read_bytes()
        inside = sorted(each.parent for each in folder.glob(f"[!.]*/{MANIFEST}"))
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
    events = [folder] if (folder / MANIFEST).exists() else inside
    if not events:
        raise InputError(f"{folder}: holds no evidence: neither {MANIFEST} nor folders with one")
    broken = 0
    for event in events:
        verdict = verify_event(event, trusted)
        broken += bool(verdict.faults)
        if as_json:
            click.echo(json.dumps(asdict(verdict)))
            continue
        said = "; ".join(verdict.faults) or "unchanged"
        signer = "your key" if trusted else f"a key {verdict.key_sha256[:16]}..., not compared"
        click.echo(
            f"{verdict.folder}: {said}" + ("" if verdict.faults else f", signed by {signer}")
        )
    if broken:
        raise CheckError(f"{broken} of {len(events)} events are not as they were signed")
