"""A simulated camera: a scene with a plume or none, whose camera may fail at set times."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from edge_runtime.sources.faults import SPOIL, faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.sources.uri import Option, SourceUri

__all__ = ["simulated_pictures"]


def simulated_pictures(uri: SourceUri, fps: float) -> Iterator[NDArray[np.uint8] | None]:
    """Pictures (h, w, 3) of a simulated scene, endless unless `frames` is given.

    Args:
        uri: the source, with its options.
        fps: rate at which they count as taken.

    Yields:
        None where the camera is lost and gives no picture.
    """
    from contract.simulated_scene import SimulatedScene

    options = uri.options
    onset_s = options.get("onset")
    scene = SimulatedScene(
        kind=str(options.get("kind", "gas")),
        width=int(options.get("width", 320)),
        height=int(options.get("height", 240)),
        seed=int(options.get("seed", 0)),
        # who says when it begins wants one
        plume=_wish(options, "plume", default=None if onset_s is None else True),
        onset=None if onset_s is None else round(float(onset_s) * fps),
        distractors=_wish(options, "distractors"),
        large=bool(options.get("large", False)),
    )
    planned = faults(str(options["fault"])) if "fault" in options else ()
    frames = options.get("frames")
    shown = None
    for index in itertools.count() if frames is None else range(int(frames)):
        standing = [each.kind for each in planned if each.begin_s <= index / fps < each.end_s]
        frozen = "frozen" in standing and shown is not None
        picture = shown if frozen else scene.frame(index)[0]
        shown = picture
        for fault in standing:
            picture = None if picture is None else SPOIL[fault](picture)
        yield picture


def _wish(options: dict[str, Option], name: str, *, default: bool | None = None) -> bool | None:
    """Whether something is wished, None leaves it to the seed."""
    return bool(options[name]) if name in options else default
