"""Pictures that no camera takes: folders of image files and simulated scenes, at a set rate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from contract.pictures import bgr_from_any, pictures_in, read_counts, read_picture
from edge_runtime.sources.infrared_range import RangeMap
from edge_runtime.sources.shot import Shot

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["folder_pictures", "paced", "replayed_pictures", "replayed_shots"]

_DEFAULT_FPS = 10.0

Item = TypeVar("Item")


def replayed_shots(uri: SourceUri) -> Iterator[Shot]:
    """Pictures of a file, a folder or a simulation, once, paced unless `every` is asked."""
    fps, pictures = replayed_pictures(uri)
    timed = pictures if uri.every else paced(pictures, fps)
    return (Shot(picture) for picture in timed if picture is not None)


def replayed_pictures(uri: SourceUri) -> tuple[float, Iterator[NDArray[np.uint8] | None]]:
    """Pictures a second, and the pictures of a file, a folder or a simulation, as fast as asked.

    None among them stands for a picture that a simulated camera did not give.
    """
    fps = uri.fps or _DEFAULT_FPS
    if uri.scheme == "file":
        from edge_runtime.sources.video import file_pictures, file_rate

        return file_rate(uri), file_pictures(uri)
    if uri.scheme == "folder":
        return fps, folder_pictures(uri, fps)
    from edge_runtime.sources.simulated import simulated_pictures

    return fps, simulated_pictures(uri, fps)


def folder_pictures(uri: SourceUri, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Every picture file of a folder in the order of their names, once.

    Args:
        uri: the folder; with `range` its pictures hold counts, 16 bits a pixel.
        fps: rate at which they count as taken, for a range that follows the scene.

    Raises:
        InputError: when the folder holds none, or at the first file that cannot be read.
    """
    counts = RangeMap(uri.options.get("range"))
    for index, path in enumerate(pictures_in(Path(uri.target))):
        if "range" in uri.options:
            yield bgr_from_any(counts.grey(read_counts(path), index / fps), where=str(path))
        else:
            yield read_picture(path)


def paced(pictures: Iterator[Item], fps: float) -> Iterator[Item]:
    """Hand on pictures at `fps`; pictures that are late come at once, none is left out."""
    period = 1 / fps
    due = time.monotonic()
    for picture in pictures:
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif wait < -1:
            due = time.monotonic()  # it was held up: do not rush to catch up
        due += period
        yield picture
