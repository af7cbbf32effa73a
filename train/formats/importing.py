"""Every format by name, and which one a source is in where that is beyond doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.errors import ConfigError, InputError
from train.formats.coco import is_coco, read_coco
from train.formats.cvat import is_cvat, read_cvat
from train.formats.folder_writer import write_folder
from train.formats.masks import is_masks, read_masks
from train.formats.tiles import is_tiles, read_tiles
from train.formats.video import is_video, read_video
from train.formats.yolo import is_yolo, read_yolo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from train.formats.folder_writer import FolderWritten
    from train.formats.request import Imported, ImportRequest

__all__ = ["FORMATS", "import_folder"]

FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[ImportRequest], Imported]]] = {
    "coco": (is_coco, read_coco),
    "cvat": (is_cvat, read_cvat),
    "yolo": (is_yolo, read_yolo),
    "masks": (is_masks, read_masks),
    "video": (is_video, read_video),
    "tiles": (is_tiles, read_tiles),
}


def import_folder(request: ImportRequest, out: Path, form: str | None) -> FolderWritten:
    """Write a source as a new data folder.

    Args:
        request: what is imported and how.
        out: the new folder.
        form: one of `FORMATS`; None goes by what is there.

    Raises:
        GasedgeError: when the source, the request or the disk does not allow it.
    """
    if not request.source.exists():
        raise InputError(f"{request.source}: is not there")
    _, read = FORMATS[form or _form_of(request.source)]
    imported = read(request)
    return write_folder(out, imported.samples, imported.labelled)


def _form_of(source: Path) -> str:
    fitting = [name for name, (fits, _) in FORMATS.items() if fits(source)]
    if len(fitting) == 1:
        return fitting[0]
    why = f"may be {' or '.join(fitting)}" if fitting else "is in no format that shows itself"
    raise ConfigError(f"{source}: {why}; say which with --format {'|'.join(FORMATS)}")
