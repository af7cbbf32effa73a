"""`gasedge backup`: everything that a device cannot get anew, while its daemon runs."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--evidence", is_flag=True, help="With the folder of evidence, which may be large.")
def command(config: Path, out: Path, evidence: bool) -> None:
    """Write OUT (.tar.gz) with all that CONFIG.toml names: keys, users, state, model.

    The daemon goes on meanwhile. OUT holds private keys and password hashes and has mode 0600. To
    restore, stop the daemon, put its folder aside, and unpack: tar -xzf OUT -C /. Events then begin
    a new series of numbers, because the numbers since the backup are lost.
    """
    from edge_runtime.backup import back_up
    from edge_runtime.config import load_daemon_config

    count = back_up(config, load_daemon_config(config), out, evidence=evidence)
    click.echo(f"{out}: {count} files and folders, {out.stat().st_size} bytes")
