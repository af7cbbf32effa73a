"""Keep scores in a bundle with their data, and what that data shares no picture with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contract.atomic import sha256_of_bytes
from contract.data_folder import DataFolder
from contract.pictures import read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from contract.bundle import Bundle
    from contract.manifest import MeasuredScores

__all__ = ["CARD", "disjoint_from", "pixels_sha256", "scores_with"]

CARD = "calibration/card.json"


def pixels_sha256(picture: NDArray[np.uint8]) -> str:
    """Identity of a decoded picture: its shape and pixels, whatever file they came in."""
    return sha256_of_bytes(str(picture.shape).encode() + picture.tobytes())


def scores_with(
    kept: Sequence[MeasuredScores], *measured: MeasuredScores
) -> tuple[MeasuredScores, ...]:
    """`kept` and `measured` together; new scores replace those of the same precision and data."""
    new = {(each.precision, each.data) for each in measured}
    return (*(each for each in kept if (each.precision, each.data) not in new), *measured)


def disjoint_from(bundle: Bundle, data_dir: Path, only: Sequence[str] | None) -> str:
    """What the pictures of a data folder were found to share no picture with.

    Calibration frames are known by the hashes in the bundle's card. Training pictures are not
    listed in a bundle, so nothing is claimed about them.
    """
    if CARD not in bundle.manifest.files:
        return "not checked"
    card = json.loads(bundle.read(CARD))
    calibrated = {each["sha256"] for each in card["frames"]}
    folder = DataFolder.open(data_dir, only)
    shared = [
        name
        for name in folder.names
        if pixels_sha256(read_picture(folder.images[name])) in calibrated
    ]
    if shared:
        return f"nothing: {len(shared)} of {len(folder)} pictures were calibrated on"
    return "calibration (training not checked)"
