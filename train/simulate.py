"""Write simulated scenes to disk as a data folder, and one as a clip."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from contract.atomic import new_file, new_folder
from contract.data_folder import LABELS
from contract.errors import ConfigError, GasedgeError
from contract.label_map import CLASSES
from contract.packages import need
from contract.simulated_scene import SimulatedScene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CLIP_FPS", "Simulation", "clip_codec", "write_clip", "write_data_folder"]

CLIP_FPS = 25
FRAMES_APART = 23  # of pictures taken from one scene, so that the plume has moved on
_SCENE_SEEDS = 100_003  # seeds of one simulation's scenes lie beside each other, far from the next
_CLIP_SCENE = 99_991
_FOURCC = {".mp4": "mp4v", ".avi": "MJPG"}


@dataclass(frozen=True, slots=True)
class Simulation:
    """What all scenes of a set have in common."""

    kind: str
    width: int
    height: int
    seed: int
    grey: bool | None = None

    def scene(self, number: int, **options: Any) -> SimulatedScene:
        """Scene `number` of the set; options as of `SimulatedScene`."""
        seed = self.seed * _SCENE_SEEDS + number
        return SimulatedScene(self.kind, self.width, self.height, seed, self.grey, **options)

    def pictures(
        self, scenes: int, frames: int
    ) -> Iterator[tuple[str, str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Give (stem, scene, picture, mask) for `frames` pictures of each scene."""
        for number in range(scenes):
            scene = self.scene(number)
            name = f"{self.kind}-{self.seed}-{number:05d}"
            for frame in range(frames):
                picture, mask = scene.frame(frame * FRAMES_APART)
                yield f"{name}-{frame:04d}", name, picture, mask


def write_data_folder(out: Path, simulation: Simulation, *, scenes: int, frames: int) -> None:
    """Write a new data folder, whole or not at all.

    Raises:
        GasedgeError: when `out` is there already or the disk refuses.
    """
    with new_folder(out) as partial:
        (partial / "images").mkdir()
        (partial / "masks").mkdir()
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["stem", "scene"])
        made = simulation.pictures(scenes, frames)
        for stem, scene, picture, mask in tqdm(made, "simulate", scenes * frames, delay=1):
            _write_png(partial / "images" / f"{stem}.png", picture)
            _write_png(partial / "masks" / f"{stem}.png", mask)
            rows.writerow([stem, scene])
        (partial / "scenes.csv").write_text(table.getvalue(), encoding="utf-8")
        values = "".join(f'{each.index} = "{each.name}"\n' for each in CLASSES)
        (partial / LABELS).write_text(f"[values]\n{values}", encoding="utf-8")


def clip_codec(clip: Path) -> str:
    """Four letters of the codec for a clip's suffix.

    Raises:
        ConfigError: for an unknown suffix.
    """
    if clip.suffix.lower() not in _FOURCC:
        raise ConfigError(f"{clip}: a clip's name ends in {' or '.join(_FOURCC)}")
    return _FOURCC[clip.suffix.lower()]


def write_clip(clip: Path, simulation: Simulation, *, seconds: float, onset_s: float) -> None:
    """Write one scene, with a plume that begins after `onset_s`, as a video of 25 frames a second.

    Raises:
        ConfigError: for an unknown suffix.
        GasedgeError: when the video cannot be encoded.
    """
    cv2 = need("cv2", extra="train")
    codec = clip_codec(clip)
    scene = simulation.scene(_CLIP_SCENE, plume=True, onset=round(onset_s * CLIP_FPS))
    with new_file(clip) as partial:
        code = cv2.VideoWriter_fourcc(*codec)
        size = (simulation.width, simulation.height)
        writer = cv2.VideoWriter(str(partial), code, float(CLIP_FPS), size)
        if not writer.isOpened():
            raise GasedgeError(f"{clip}: this OpenCV cannot encode {clip.suffix}; try .avi")
        try:
            for index in tqdm(range(round(seconds * CLIP_FPS)), "clip", delay=1):
                writer.write(scene.frame(index)[0])
        finally:
            writer.release()


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    cv2 = need("cv2", extra="train")
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise GasedgeError(f"{path}: cannot be encoded")
    path.write_bytes(data.tobytes())
