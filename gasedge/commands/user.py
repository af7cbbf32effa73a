"""`gasedge user`: who may log in at the plant interfaces, and what they may do then."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Keep the file of users, roles and password hashes that [plant.opcua] and [plant.page] name.

    A viewer reads; an operator also acknowledges, confirms, comments and shelves alarms; an
    engineer also resets latches and takes alarms out of service.
    """


@command.command()
@click.argument("file", type=_FILE)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "engineer"]),
    help="A new user is a viewer unless it is given; an old one keeps the role.",
)
@click.password_option(
    help="Asked for when it is not given; also read from GASEDGE_PASSWORD.",
    envvar="GASEDGE_PASSWORD",
)
def add(file: Path, name: str, role: str | None, password: str) -> None:
    """Add user NAME to FILE, or change password or role; FILE is made if it is not there."""
    from contract.roles import Role
    from edge_runtime.plant.users import add_user

    now = add_user(file, name, password, Role[role.upper()] if role else None)
    click.echo(f"{now.label} {name} stands in {file}")


@command.command()
@click.argument("file", type=_FILE)
@click.argument("name")
def remove(file: Path, name: str) -> None:
    """Take user NAME out of FILE; it counts from the next log-in or action on."""
    from edge_runtime.plant.users import remove_user

    remove_user(file, name)
    click.echo(f"{name} is no longer in {file}")


@command.command("list")
@click.argument("file", type=_FILE)
def show(file: Path) -> None:
    """Print every user of FILE with the role."""
    from edge_runtime.plant.users import roles_in

    for name, role in roles_in(file).items():
        click.echo(f"{role.label:<8}  {name}")
