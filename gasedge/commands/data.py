"""`gasedge data`: bring labelled pictures in, check them, look at them."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

_FORMATS = ("tiles",)


@click.group()
def command() -> None:
    """Import labelled pictures from other tools, check a data folder, look at it."""


@command.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(_FORMATS), help="[default: by what is there]")
@click.option("--every", type=click.IntRange(1), help="Take each Nth frame. [tiles: 12]")
@click.option("--grid", "grids", multiple=True, help="tiles: take this mosaic only; repeatable.")
def import_(
    *,
    source: Path,
    out: Path,
    form: str | None,
    every: int | None,
    grids: tuple[str, ...],
) -> None:
    """Write SOURCE, in another tool's format, as the new data folder OUT.

    OUT gets images/, masks/ of class indices, labels.toml and index.csv with a group for each
    picture. Pictures are copied as they are.

    tiles: clip mosaics with a label a tile (RISE); tiles labelled 0 become a folder of pictures
    without gas, the mosaic is the group.
    """
    from train.formats.folder_writer import write_folder
    from train.formats.tiles import empty_tiles

    del form
    done = write_folder(out, empty_tiles(source, grids=grids, every=every or 12), None)
    click.echo(f"{done.path}: {done.pictures} pictures in {done.groups} groups")
