"""`gasedge data`: bring labelled pictures in, check them, look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import Literal

    from train.checking.check import FolderCheck
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
@click.option(
    "--grids",
    metavar="NAMES",
    default="",
    help="tiles: mosaics to take, names or patterns, with commas. [default: all]",
)
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
    grids: str,
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
        grids=tuple(name for name in grids.split(",") if name),
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


@command.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--list-dir",
    type=_PATH,
    help="Splits to check too: RUN/splits/NAME of a training.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every file.")
def check(*, folder: Path, list_dir: Path | None, as_json: bool) -> int:
    """Say what FOLDER holds, what is odd about it and what must be mended.

    Class balance, sizes of plumes, broken files, masks that do not fit or look wrong, pictures that
    stand twice, and views that a split would tear apart. Exit code 3: something must be mended.
    """
    from train.checking.check import check_folder

    found = check_folder(folder, list_dir)
    click.echo(json.dumps(found.as_dict()) if as_json else _check_text(found))
    return 0 if found.sound else 3


_SHOWN = 6  # files of a finding


def _check_text(found: FolderCheck) -> str:
    sizes = [f"{n} of {size}" for size, n in found.sizes.items()]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    lines = [
        f"{found.path}: {found.pictures} pictures"
        + (f" in {found.groups} groups" if found.groups else ""),
        f"  pictures  {', '.join(sizes[:3])}{more}",
        f"  colour    {found.grey_pictures} grey, {found.colour_pictures} in colour",
        f"  labelled  {', '.join(found.labelled)}",
    ]
    lines += [
        f"  {name:10} {share:8.3%} of pixels, in {found.pictures_with[name]} pictures"
        for name, share in found.pixel_share.items()
    ]
    most = max(found.plume_sizes.values(), default=0) or 1
    lines += ["", "pictures by share of gas:"]
    lines += [
        f"  {name:12} {n:6}  {'#' * round(40 * n / most)}" for name, n in found.plume_sizes.items()
    ]
    for head, wanted in (("must be mended:", True), ("notes:", False)):
        some = [each for each in found.findings if each.must_mend == wanted]
        lines += ["", head] if some else []
        for each in some:
            rest = len(each.files) - _SHOWN
            files = "; ".join(each.files[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
            lines += [f"  {each.kind} ({len(each.files)}): {each.says}", f"    {files}"]
    if found.sound:
        lines += ["", "nothing must be mended"]
    return "\n".join(lines)


@command.command()
@click.argument("folder", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="PNG or JPEG file to write.")
@click.option("--count", type=click.IntRange(1, 600), default=36, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--empty", is_flag=True, help="FOLDER holds pictures without gas and no masks.")
def show(*, folder: Path, out: Path, count: int, seed: int, empty: bool) -> None:
    """Write a contact sheet of FOLDER with outlined masks, from the smallest plume to the largest.

    Gas and smoke are outlined, machines too; what is ignored is darkened.
    """
    from contract.data_folder import DataFolder
    from train.contact_sheet import write_contact_sheet

    opened = DataFolder.open(folder, empty=empty)
    shown = write_contact_sheet(opened, out, count=count, seed=seed)
    click.echo(f"{out}: {shown} of {len(opened)} pictures")
