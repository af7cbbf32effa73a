"""Keep scores in a bundle with their data, and what that data shares no picture with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contract.bundle import CARD
from contract.data_folder import DataFolder
from contract.pictures import pixels_sha256, read_picture
from contract.trained_pictures import trained_among

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from contract.bundle import Bundle
    from contract.manifest import MeasuredScores

__all__ = ["disjoint_from", "scores_with"]


def scores_with(
    kept: Sequence[MeasuredScores], *measured: MeasuredScores
) -> tuple[MeasuredScores, ...]:
    """`kept` and `measured` together; new scores replace those of the same precision and data."""
    new = {(each.precision, each.data) for each in measured}
    return (*(each for each in kept if (each.precision, each.data) not in new), *measured)


def disjoint_from(bundle: Bundle, data_dir: Path, only: Sequence[str] | None) -> str:
    """What the pictures of a data folder were found to share no picture with.

    Calibration frames are known by the hashes in the bundle's card, pictures of the training by
    those that it left in the bundle; of what is not known nothing is claimed.
    """
    folder = DataFolder.open(data_dir, only)
    files = [folder.images[name] for name in folder.names]
    trained = trained_among(bundle, files)
    if trained:
        return f"nothing: {trained} of {len(folder)} pictures were trained on"
    training = "training (by file)" if trained == 0 else ""
    if CARD not in bundle.manifest.files:
        return training or "not checked"
    card = json.loads(bundle.read(CARD))
    calibrated = {each["sha256"] for each in card["frames"]}
    if shared := sum(pixels_sha256(read_picture(file)) in calibrated for file in files):
        return f"nothing: {shared} of {len(folder)} pictures were calibrated on"
    return f"calibration, {training}" if training else "calibration (training not checked)"
