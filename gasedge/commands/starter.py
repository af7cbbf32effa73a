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

    Without anything: its model card, on standard output. It has seen simulated frames only, so no
    third party has rights in it, and it knows no real camera: read the card before you use it.
    """
    from contract.atomic import new_file
    from contract.bundle import Bundle
    from gasedge.starter import CARD, CHECKPOINT, STARTER

    if out is not None:
        made = Bundle.open(STARTER).copied(out)
        click.echo(f"{made.path}: {made.manifest.model_id}, {', '.join(made.precisions)}")
    if checkpoint is not None:
        with new_file(checkpoint) as partial:
            partial.write_bytes(CHECKPOINT.read_bytes())
        click.echo(checkpoint)
    if out is None and checkpoint is None:
        click.echo(CARD.read_text(encoding="utf-8").rstrip())
