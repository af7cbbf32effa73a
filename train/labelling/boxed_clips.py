"""Clips as a labelling team leaves them, with a truth that no such team has: simulated.

A box is drawn round the largest part of the plume; puffs that have come off it are left out, as
people leave them out. The same folder holds the exact masks, to measure labels and networks by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.atomic import new_folder
from contract.errors import GasedgeError
from contract.label_map import CLASSES, GAS_SMOKE
from contract.packages import need

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from train.simulate import Simulation

__all__ = ["write_boxed_clips"]


def write_boxed_clips(
    out: Path, simulation: Simulation, *, scenes: int, frames: int, onset: int
) -> None:
    """Write `images/`, `labels/` (boxes), `masks/` (truth) and `scenes.csv`.

    Args:
        out: the folder, which must not be there yet.
        simulation: whose scenes; each has a plume.
        scenes: how many clips.
        frames: consecutive frames of each.
        onset: frame at which each plume begins.
    """
    cv2 = need("cv2", extra="train")
    with new_folder(out) as partial:
        for name in ("images", "labels", "masks"):
            (partial / name).mkdir()
        rows = ["stem,scene"]
        bar = tqdm(total=scenes * frames, desc="simulate", delay=2)
        with bar:
            for number in range(scenes):
                scene = simulation.scene(number, plume=True, onset=onset)
                clip = f"{simulation.kind}-{simulation.seed}-{number:03d}"
                for at in range(frames):
                    picture, mask = scene.frame(at)
                    stem = f"{clip}-{at:05d}"
                    for folder, pixels in (("images", picture), ("masks", mask)):
                        if not cv2.imwrite(str(partial / folder / f"{stem}.png"), pixels):
                            raise GasedgeError(
                                f"{out}: {stem} cannot be written; is the disk full?"
                            )
                    (partial / "labels" / f"{stem}.txt").write_text(_box_line(mask == GAS_SMOKE))
                    rows.append(f"{stem},{clip}")
                    bar.update()
        (partial / "scenes.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        values = "".join(f'{each.index} = "{each.name}"\n' for each in CLASSES)
        (partial / "labels.toml").write_text(f"[values]\n{values}", encoding="utf-8")


def _box_line(gas: NDArray[np.bool_]) -> str:
    """One YOLO box round the largest part, or nothing."""
    cv2 = need("cv2", extra="train")
    count, _, stats, _ = cv2.connectedComponentsWithStats(gas.astype(np.uint8), connectivity=8)
    if count < 2:
        return ""
    left, top, width, height, _ = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])].tolist()
    rows, columns = gas.shape
    centre = ((left + width / 2) / columns, (top + height / 2) / rows)
    return f"0 {centre[0]:.6f} {centre[1]:.6f} {width / columns:.6f} {height / rows:.6f}\n"
