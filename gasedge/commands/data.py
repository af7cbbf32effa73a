"""`gasedge data`: bring labelled pictures in, check them, look at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import Literal

    from train.formats.request import Grouping

__all__ = ["command"]

_FORMATS = ("coco", "cvat", "yolo", "masks", "video", "tiles")
_PATH = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Import labelled pictures from other tools, check a data folder, look at it."""


@command.command("import")
@click.argument("source", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--format", "form", type=click.Choice(_FORMATS), help="[default: by what is there]")
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="NAME=CLASS",
    help="What a name, a value or a colour of the source means: background, gas-smoke, machine or "
    "ignore; repeatable.",
)
@click.option(
    "--group-by",
    type=click.Choice(["folder", "name", "run", "image"]),
    help="Which pictures belong together: of one folder, of one name but for the number, of one "
    "run of numbers, or none. [default: folder, where there are several]",
)
@click.option(
    "--boxes-as",
    type=click.Choice(["ignore", "filled"]),
    help="What a box means: nothing is known inside, or all inside is the object.",
)
@click.option(
    "--unlabelled",
    type=click.Choice(["background", "skip"]),
    help="What a picture without annotation means: no gas, or nothing.",
)
@click.option("--pictures", type=_PATH, help="Folder of the pictures, where it is another.")
@click.option("--masks", type=_PATH, help="Folder (or video) of the masks, where it is another.")
@click.option(
    "--threshold",
    type=click.IntRange(1, 255),
    help="masks, video: grey value from which a pixel is gas or smoke.",
)
@click.option("--every", type=click.IntRange(1), help="Take each Nth frame. [video: 1, tiles: 12]")
@click.option("--grid", "grids", multiple=True, help="tiles: take mosaics of this name or pattern.")
def import_(  # noqa: PLR0913 - one argument an option
    *,
    source: Path,
    out: Path,
    form: str | None,
    pairs: tuple[str, ...],
    group_by: Grouping | None,
    boxes_as: Literal["ignore", "filled"] | None,
    unlabelled: Literal["background", "skip"] | None,
    pictures: Path | None,
    masks: Path | None,
    threshold: int | None,
    every: int | None,
    grids: tuple[str, ...],
) -> None:
    r"""Write SOURCE, in another tool's format, as the new data folder OUT.

    OUT gets images/, masks/ of class indices, labels.toml and index.csv with a group for each
    picture. Pictures are copied as they are.

    \b
    coco    a JSON file: polygons, run lengths, boxes
    cvat    an XML file of CVAT for images: polygons, masks, boxes
    yolo    a folder of images/ and labels/: polygons, boxes
    masks   pictures and masks in other folders, colours, names or values than ours
    video   a video with a mask a frame, or a folder of them
    tiles   clip mosaics with a yes or no a tile (RISE): tiles labelled 0, as pictures without gas
    """
    from train.formats.importing import import_folder
    from train.formats.request import ImportRequest, classes_of

    request = ImportRequest(
        source=source,
        classes=classes_of(pairs),
        pictures=pictures,
        masks=masks,
        boxes_as=boxes_as,
        unlabelled=unlabelled,
        group_by=group_by,
        every=every,
        grids=grids,
        threshold=threshold,
    )
    done = import_folder(request, out, form)
    total = sum(done.pixels.values())
    shares = ", ".join(f"{name} {n / total:.2%}" for name, n in done.pixels.items())
    click.echo(
        f"{done.path}: {done.pictures} pictures in {done.groups} groups; "
        + (f"pixels: {shares}" if shares else "no masks: no gas in any")
    )


@command.command()
@click.argument("config", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="HTML file to write.")
@click.option(
    "--samples", type=click.IntRange(1, 50), default=2, show_default=True, help="Of each data set."
)
def augmented(*, config: Path, out: Path, samples: int) -> None:
    """Write a page of what the training of CONFIG makes of its pictures and masks.

    Each augmentation alone, by its name in [augment], then all together.
    """
    from train.augmentation_page import write_augmentation_page
    from train.config import load_train_config

    shown = write_augmentation_page(load_train_config(config), out, samples=samples)
    click.echo(f"{out}: {shown} pictures")
