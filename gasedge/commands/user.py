"""`gasedge user`: who may log in at the plant interfaces."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Make the file of users and password hashes that [plant.opcua] names."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("name")
@click.password_option(
    help="Asked for when it is not given; also read from GASEDGE_PASSWORD.",
    envvar="GASEDGE_PASSWORD",
)
def add(file: Path, name: str, password: str) -> None:
    """Add user NAME to FILE, or change the password; FILE is made if it is not there."""
    from edge_runtime.plant.users import add_user

    add_user(file, name, password)
    click.echo(f"user {name} stands in {file}")
