"""Write simulated scenes to disk as a data folder, and one as a clip."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from contract.atomic import new_file, new_folder
from contract.data_folder import LABELS
from contract.errors import ConfigError, GasedgeError
from contract.label_map import CLASSES
from contract.packages import need
from contract.simulated_scene import DENSITY_UNITS, SimulatedScene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CLIP_FPS", "Simulation", "clip_codec", "write_clip", "write_data_folder"]

CLIP_FPS = 25
FRAMES_APART = 23  # of pictures taken from one scene, so that the plume has moved on
_SCENE_SEEDS = 100_003  # seeds of one simulation's scenes lie beside each other, far from the next
_CLIP_SCENE = 99_991
_DENSITY_A_LEVEL = {"gas": 1.0, "smoke": 0.1}  # of 16 bits, in DENSITY_UNITS
_FOURCC = {".mp4": "mp4v", ".avi": "MJPG"}


@dataclass(frozen=True, slots=True)
class Simulation:
    """What all scenes of a set have in common."""

    kind: str
    width: int
    height: int
    seed: int
    grey: bool | None = None
    plumes: float = 0.83  # share of the scenes with gas or smoke
    distractors: float = 0.5  # share with steam, people and other things that are no leak
    large: bool = False  # whether leaks are large and dense

    def scene(self, number: int, **options: Any) -> SimulatedScene:
        """Scene `number` of the set; options as of `SimulatedScene`, instead of its own."""
        seed = self.seed * _SCENE_SEEDS + number
        plume, distracted = np.random.default_rng([seed, 13]).random(2)
        own = {
            "large": self.large,
            "plume": bool(plume < self.plumes),
            "distractors": bool(distracted < self.distractors),
        }
        return SimulatedScene(self.kind, self.width, self.height, seed, self.grey, **own | options)

    def pictures(
        self, scenes: int, frames: int
    ) -> Iterator[tuple[str, str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Give (stem, scene, picture, mask) for `frames` pictures of each scene."""
        for stem, name, scene, index in self.shots(scenes, frames):
            yield stem, name, *scene.frame(index)

    def shots(self, scenes: int, frames: int) -> Iterator[tuple[str, str, SimulatedScene, int]]:
        """Give (stem, scene's name, scene, frame index) of the same pictures."""
        for number in range(scenes):
            scene = self.scene(number)
            name = f"{self.kind}-{self.seed}-{number:05d}"
            for frame in range(frames):
                yield f"{name}-{frame:04d}", name, scene, frame * FRAMES_APART


def write_data_folder(
    out: Path, simulation: Simulation, *, scenes: int, frames: int, density: bool = False
) -> None:
    """Write a new data folder, whole or not at all.

    Args:
        out: the folder.
        simulation: what is in it.
        scenes: how many.
        frames: pictures of each scene.
        density: whether to write `density/`, too: the column density of what is to be seen of the
            plume as 16-bit grey PNG, and `density.toml`, which says the unit of a level.

    Raises:
        GasedgeError: when `out` is there already or the disk refuses.
    """
    with new_folder(out) as partial:
        (partial / "images").mkdir()
        (partial / "masks").mkdir()
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["stem", "scene"])
        if density:
            _describe_density(partial, simulation.kind)
        made = simulation.shots(scenes, frames)
        for stem, name, scene, index in tqdm(made, "simulate", scenes * frames, delay=1):
            picture, mask = scene.frame(index)
            _write_png(partial / "images" / f"{stem}.png", picture)
            _write_png(partial / "masks" / f"{stem}.png", mask)
            if density:
                levels = np.rint(scene.density(index) / _DENSITY_A_LEVEL[simulation.kind])
                levels = np.clip(levels, 0, 65535).astype(np.uint16)
                _write_png(partial / "density" / f"{stem}.png", levels)
            rows.writerow([stem, name])
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


def _describe_density(folder: Path, kind: str) -> None:
    (folder / "density").mkdir()
    text = (
        "# column density of density/*.png: a pixel's value times `a_level`, in `unit`\n"
        f'unit = "{DENSITY_UNITS[kind]}"\na_level = {_DENSITY_A_LEVEL[kind]}\n'
    )
    (folder / "density.toml").write_text(text, encoding="utf-8")


def _write_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    cv2 = need("cv2", extra="train")
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise GasedgeError(f"{path}: cannot be encoded")
    path.write_bytes(data.tobytes())
