"""What one gas mask shows: its area, mean probability and separate regions, in picture pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import GAS_SMOKE
from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.geometry import FrameFit

__all__ = ["GasField", "gas_field"]

_SPECK_PX = 8  # smaller regions count in the area but are no region of their own


@dataclass(frozen=True, slots=True)
class GasField:
    """Gas in one picture."""

    area_fraction: float  # of the valid field, 0..1
    area_px: int  # camera pixels
    score: float  # mean gas probability of the gas pixels, 0 without any
    count: int  # separate regions
    centroid: tuple[float, float] | None  # of the largest region, share of width and height
    bbox: tuple[int, int, int, int] | None  # x, y, width, height of the largest, camera pixels


def gas_field(mask: NDArray[np.uint8], score: NDArray[np.uint8], fit: FrameFit) -> GasField:
    """Measure the gas in one (H, W) mask of class indices and its (H, W) score.

    Only the valid field counts: a network may see gas in the padding, a plant has none there.
    """
    cv2 = need("cv2", extra="cpu")
    gas = np.ascontiguousarray(mask[fit.valid] == GAS_SMOKE).view(np.uint8)
    pixels = int(cv2.countNonZero(gas))
    if not pixels:
        return GasField(0.0, 0, 0.0, 0, None, None)
    mean = float(cv2.mean(score[fit.valid], mask=gas)[0]) / 255
    # a 16-bit label image is faster; it holds the most regions that this many pixels can form
    labels = cv2.CV_16U if gas.size <= 4 * 65_535 else cv2.CV_32S
    _, _, stats, centres = cv2.connectedComponentsWithStatsWithAlgorithm(
        gas, 8, labels, cv2.CCL_SPAGHETTI
    )
    sizes = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(sizes.argmax())
    x, y, width, height = (int(v) for v in stats[largest, :4])
    left, top = fit.to_picture(fit.left + x, fit.top + y)
    right, bottom = fit.to_picture(fit.left + x + width, fit.top + y + height)
    fraction = pixels / gas.size
    return GasField(
        area_fraction=fraction,
        area_px=round(fraction * fit.picture_width * fit.picture_height),
        score=mean,
        count=max(1, int((sizes >= _SPECK_PX).sum())),
        centroid=(
            (float(centres[largest, 0]) + 0.5) / fit.width,
            (float(centres[largest, 1]) + 0.5) / fit.height,
        ),
        bbox=(round(left), round(top), round(right - left), round(bottom - top)),
    )
