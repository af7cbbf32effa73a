"""How large and how faint the plume of each picture is: by its mask, else by the FP32 network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from contract.data_folder import DataFolder
from contract.errors import GasedgeError
from contract.label_map import GAS_SMOKE
from contract.packages import need
from contract.pictures import fit_mask, fit_picture, read_picture
from contract.precision import Precision
from edge_runtime.backends.open import open_graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry

__all__ = ["FAINT", "THIN_AREA", "Plume", "plumes_of"]

THIN_AREA = 0.03  # of the picture
FAINT = 12.0  # grey levels between a plume and what surrounds it
_ROUND = 5  # pixels of the surroundings
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plume:
    """All gas and smoke of one picture, as the network's input shows it."""

    area: float  # share of the picture; 0 where there is none
    contrast: float  # difference of the mean grey levels inside and around, 0..255

    @property
    def thin(self) -> bool:
        """A leak that is easily lost: small, or hardly told from what is behind it."""
        return self.area > 0 and (self.area <= THIN_AREA or self.contrast < FAINT)


def plumes_of(
    files: Sequence[Path], root: Path, graph: bytes, geometry: InputGeometry
) -> tuple[list[Plume], str]:
    """The plume of every picture.

    Args:
        files: pictures.
        root: the folder that may hold `masks/` for them.
        graph: the FP32 deploy graph, asked where there are no masks.
        geometry: its input.

    Returns:
        Plumes in the order of `files`, and what they are known by: "masks" or "FP32 network".
    """
    cv2 = need("cv2", extra="export")
    masks, known_by = _by_masks(files, root, geometry), "masks"
    if masks is None:
        masks, known_by = _by_network(files, graph, geometry), "FP32 network"
    shown = tqdm(masks, total=len(files), desc=f"plumes by {known_by}", unit="frame", delay=2)
    return [_plume(cv2, frame, mask) for frame, mask in shown], known_by


def _by_masks(
    files: Sequence[Path], root: Path, geometry: InputGeometry
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]] | None:
    if not (root / "masks").is_dir():
        return None
    try:
        folder = DataFolder.open(root, [file.stem for file in files])
    except GasedgeError as error:
        _log.warning("masks are not used, the FP32 network says where plumes are: %s", error)
        return None
    if GAS_SMOKE not in folder.labelled:
        return None
    return (
        (fit_picture(picture, geometry), fit_mask(mask, geometry))
        for picture, mask in (folder.read(file.stem) for file in files)
    )


def _by_network(
    files: Sequence[Path], graph: bytes, geometry: InputGeometry
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    with open_graph(graph, geometry, Precision.FP32) as segmenter:
        for file in files:
            frame = fit_picture(read_picture(file), geometry)
            yield frame, segmenter.segment(frame[None]).mask[0]


def _plume(cv2: Any, frame: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Plume:
    gas = mask == GAS_SMOKE
    if not gas.any():
        return Plume(0.0, 0.0)
    grown = cv2.dilate(gas.astype(np.uint8), np.ones((2 * _ROUND + 1,) * 2, np.uint8)) > 0
    around = grown & ~gas
    grey = frame.mean(axis=2)
    contrast = abs(float(grey[gas].mean() - grey[around].mean())) if around.any() else 255.0
    return Plume(float(gas.mean()), contrast)
