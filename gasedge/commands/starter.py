"""`gasedge starter`: a bundle to begin with, trained on simulated frames only."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("starter")
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Also write the network to this file, as initial_weights of a training.",
)
def command(out: Path | None, checkpoint: Path | None) -> None:
    """Write the starter bundle that comes with gasedge to the new folder OUT (NAME.gasedge).

    NAME.pub beside it is the public key that signed it, for [trust] keys of a daemon.

    Without anything: its model card, on standard output. It has seen simulated frames only, so no
    third party has rights in it, and it knows no real camera: read the card before you use it.
    """
    from contract.atomic import new_file, write_bytes
    from contract.bundle import Bundle
    from contract.errors import GasedgeError
    from gasedge.starter import CARD, CHECKPOINT, PUBLIC_KEY, STARTER

    if out is not None:
        key, data = out.with_suffix(PUBLIC_KEY.suffix), PUBLIC_KEY.read_bytes()
        if key.exists() and key.read_bytes() != data:
            raise GasedgeError(f"{key}: is there already and is another key; give another name")
        made = Bundle.open(STARTER).copied(out)
        write_bytes(key, data)
        said = f"{made.manifest.model_id}, {', '.join(made.precisions)}, signed by {key.name}"
        click.echo(f"{made.path}: {said}")
    if checkpoint is not None:
        with new_file(checkpoint) as partial:
            partial.write_bytes(CHECKPOINT.read_bytes())
        click.echo(checkpoint)
    if out is None and checkpoint is None:
        click.echo(CARD.read_text(encoding="utf-8").rstrip())
