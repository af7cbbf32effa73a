"""Pictures that no camera takes: folders of image files and simulated scenes, at a set rate."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.pictures import pictures_in, read_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.sources.uri import SourceUri

__all__ = ["DEFAULT_FPS", "folder_pictures", "paced", "simulated_pictures"]

DEFAULT_FPS = 10.0


def folder_pictures(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Every picture file of a folder in the order of their names, once.

    Raises:
        InputError: when the folder holds none, or at the first file that cannot be read.
    """
    for path in pictures_in(Path(uri.target)):
        yield read_picture(path)


def simulated_pictures(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Pictures of a simulated scene, endless unless `frames` is given."""
    from contract.simulated_scene import SimulatedScene

    options = uri.options
    scene = SimulatedScene(
        kind=str(options.get("kind", "gas")),
        width=int(options.get("width", 320)),
        height=int(options.get("height", 240)),
        seed=int(options.get("seed", 0)),
    )
    frames = options.get("frames")
    for index in itertools.count() if frames is None else range(int(frames)):
        yield scene.frame(index)[0]


def paced(pictures: Iterator[NDArray[np.uint8]], fps: float) -> Iterator[NDArray[np.uint8]]:
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
