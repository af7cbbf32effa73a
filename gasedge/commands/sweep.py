"""`gasedge sweep`: search for the settings that learn best."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("sweep")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--trials", type=click.IntRange(min=1), required=True, help="How many to bring to an end."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The sweep's folder. Default: runs/<name of CONFIG>.",
)
def command(config: Path, trials: int, out: Path | None) -> None:
    """Train CONFIG with many settings and leave OUT/trials.csv and OUT/best.toml.

    What is searched stands in CONFIG's [sweep] table: "learning.rate" = { low = 1e-5, high = 1e-3,
    log = true } or "learning.batch" = { choices = [4, 8] }. A trial that learns less than others
    did by the same epoch is given up. Stopped, the same command goes on; given in several
    terminals, they share the work.
    """
    from train.sweep_config import load_sweep_config

    settings = load_sweep_config(config)
    from train.sweep import sweep

    best = sweep(settings, trials, out or Path("runs") / config.stem)
    click.echo(f"{best.finished} trials finished, {best.pruned} given up early")
    for key, value in best.settings.items():
        click.echo(f"{key} = {value}")
    click.echo(f"validation mean IoU {best.score:.3f}")
    click.echo(str(best.config))
