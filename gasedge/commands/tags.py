"""`gasedge tags`: the sheet that the plant's engineers configure from."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "csv", "json", "ignition"]),
    default="markdown",
    show_default=True,
)
def command(form: str) -> None:
    """Print every tag with its OPC UA path and its Modbus place.

    The form "ignition" is a data type for the tag browser of Ignition 8.1 and later.
    """
    from edge_runtime.plant.tag_sheet import sheet

    click.echo(sheet(form), nl=False)
