"""Pick calibration frames that cover what the camera will see, the same ones for the same seed.

Frames are taken one by one. Each next one is that which shows most of what is still rare among
those taken: a plume of another size, a faint one, another grey level, night, another scene. Ties
go by the seed.
"""

from __future__ import annotations

import logging
import random
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.card import GreyCard, Mix
from calibration.frames import some, study
from calibration.plumes import FAINT, THIN_AREA, plumes_of
from contract.data_folder import DataFolder
from contract.errors import GasedgeError, InputError
from contract.grey_histogram import grey_reference
from contract.pictures import picture_folder, pictures_in
from contract.plume_scores import PLUME_EDGES
from contract.same_view import same_view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.frames import FrameFacts
    from calibration.plumes import Plume
    from contract.geometry import InputGeometry

__all__ = ["DEFAULT_COUNT", "MINIMUM", "Chosen", "candidates", "choose", "mix_of", "require_thin"]

MINIMUM = 16
DEFAULT_COUNT = 256
_LOOKED_AT = 6  # pictures of a larger folder that are looked at, for each one wanted
_THIN_SHARE = 32  # one frame in so many must show a thin plume, and two at least
_GREY_BINS = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Frames with what is known of them, in the order of their names."""

    frames: tuple[FrameFacts, ...]
    plumes: tuple[Plume, ...]
    plumes_by: str
    scenes: tuple[int, ...]  # number of each frame's scene
    scenes_by: str  # "index" or "likeness"
    chosen_from: int


def candidates(folder: Path, only: Sequence[str] | None) -> tuple[Path, list[Path]]:
    """The folder that may hold masks and an index, and its pictures or those of a list.

    Raises:
        InputError: when the folder is missing, or a stem of `only` is not there.
    """
    beside = folder.name == "images" and (folder.parent / "masks").is_dir()
    files = pictures_in(picture_folder(folder))
    if only is not None:
        by_stem = {file.stem: file for file in files}
        if absent := [stem for stem in only if stem not in by_stem]:
            raise InputError(f"{folder}: holds no picture {some(absent)}")
        files = sorted(by_stem[stem] for stem in set(only))
    return folder.parent if beside else folder, files


def choose(
    root: Path,
    files: Sequence[Path],
    *,
    count: int | None,
    seed: int,
    graph: bytes,
    geometry: InputGeometry,
    seen: Callable[[Sequence[FrameFacts]], frozenset[int]],
) -> Chosen:
    """Study pictures and take `count` of them that cover most, or all.

    Args:
        root: the folder that may hold `masks/` and an index.
        files: pictures to choose from.
        count: how many; None takes exactly these.
        seed: decides between equally good ones, and which of very many are looked at.
        graph: the FP32 deploy graph.
        geometry: its input.
        seen: positions of pictures that stand in another set; left out where there is a choice.

    Raises:
        InputError: when there are too few.
    """
    pool = list(files)
    if count is not None and len(pool) > _LOOKED_AT * count:
        pool = sorted(random.Random(seed).sample(pool, _LOOKED_AT * count))
    facts = study(pool, doing="calibration frames")
    left_out = ""
    if count is not None and (out := seen(facts)):
        left_out = f" ({len(out)} of {len(facts)} stand in another set or show its views)"
        _log.info("calibration frames are left out%s", left_out)
        facts = [each for at, each in enumerate(facts) if at not in out]
        pool = [each.path for each in facts]
    if len(pool) < MINIMUM:
        raise InputError(
            f"{root}: {len(pool)} frames{left_out} are too few to calibrate on; give at least "
            f"{MINIMUM}, better 200, with smoke or gas as the camera will see it"
        )
    plumes, plumes_by = plumes_of(pool, root, graph, geometry)
    scenes, scenes_by = _scenes(root, facts)
    taken = list(range(len(pool)))
    if count is not None and len(pool) > count:
        taken = sorted(_covering(_facets(facts, plumes, scenes), count, seed))
    return Chosen(
        frames=tuple(facts[at] for at in taken),
        plumes=tuple(plumes[at] for at in taken),
        plumes_by=plumes_by,
        scenes=tuple(scenes[at] for at in taken),
        scenes_by=scenes_by,
        chosen_from=len(files),
    )


def require_thin(chosen: Chosen) -> None:
    """Refuse frames without gas, or with too few small or faint plumes.

    Raises:
        InputError: saying what is missing.
    """
    thin = sum(plume.thin for plume in chosen.plumes)
    least = max(2, len(chosen.frames) // _THIN_SHARE)
    if thin >= least:
        return
    with_gas = sum(plume.area > 0 for plume in chosen.plumes)
    raise InputError(
        f"{with_gas} of {len(chosen.frames)} frames show gas or smoke by the {chosen.plumes_by}, "
        f"and {thin} of them a thin plume (at most {THIN_AREA:.0%} of the picture, or less than "
        f"{FAINT:.0f} grey levels from what surrounds it); at least {least} must, or INT8 may lose "
        "small leaks unseen: add such frames, or accept less with --accept-mix"
    )


def mix_of(chosen: Chosen) -> Mix:
    """Sum up the frames for the card."""
    brightness = [frame.brightness for frame in chosen.frames]
    greys = grey_reference([frame.greys for frame in chosen.frames])
    areas = [plume.area for plume in chosen.plumes]
    return Mix(
        frames=len(chosen.frames),
        chosen_from=chosen.chosen_from,
        plumes_by=chosen.plumes_by,
        with_gas=sum(area > 0 for area in areas),
        thin=sum(plume.thin for plume in chosen.plumes),
        gas_share=float(np.mean(areas)),
        plume_sizes=tuple(np.bincount(_sizes(areas), minlength=len(PLUME_EDGES))[1:].tolist()),
        grey=sum(frame.grey for frame in chosen.frames),
        night=sum(frame.night for frame in chosen.frames),
        brightness=(min(brightness), float(np.median(brightness)), max(brightness)),
        grey_levels=tuple(np.bincount(_greys(brightness), minlength=_GREY_BINS).tolist()),
        greys=GreyCard(
            shares=tuple(round(float(each), 6) for each in greys.shares),
            spread=round(greys.spread, 4),
        ),
        views=len(set(chosen.scenes)),
        views_by=chosen.scenes_by,
    )


def _sizes(areas: Sequence[float]) -> NDArray[np.intp]:
    """0 without a plume, else 1 + the bin between two PLUME_EDGES."""
    return np.array([bisect_left(PLUME_EDGES, area) for area in areas], np.intp)


def _greys(brightness: Sequence[float]) -> NDArray[np.intp]:
    return np.array([int(each * _GREY_BINS / 256) for each in brightness], np.intp)


def _facets(
    facts: Sequence[FrameFacts], plumes: Sequence[Plume], scenes: Sequence[int]
) -> NDArray[np.intp]:
    """(N, 5): size and contrast of the plume, grey level, kind of light, scene, as numbers."""
    return np.stack(
        [
            _sizes([plume.area for plume in plumes]),
            np.array([2 * (plume.area > 0) + (plume.contrast < FAINT) for plume in plumes]),
            _greys([each.brightness for each in facts]),
            np.array([2 * each.grey + each.night for each in facts]),
            np.array(scenes),
        ],
        axis=1,
    ).astype(np.intp)


def _covering(facets: NDArray[np.intp], count: int, seed: int) -> list[int]:
    order = np.random.default_rng(seed).permutation(len(facets))
    facets = facets[order]
    taken = [np.zeros(facets[:, each].max() + 1) for each in range(facets.shape[1])]
    left = np.ones(len(facets), bool)
    chosen: list[int] = []
    for _ in range(count):
        news = sum(1 / (1 + seen[facets[:, each]]) for each, seen in enumerate(taken))
        at = int(np.argmax(np.where(left, news, -1.0)))
        left[at] = False
        for each, seen in enumerate(taken):
            seen[facets[at, each]] += 1
        chosen.append(int(order[at]))
    return chosen


def _scenes(root: Path, facts: Sequence[FrameFacts]) -> tuple[list[int], str]:
    """A number for each frame's scene, and what tells scenes apart."""
    stems = [each.path.stem for each in facts]
    try:
        folder = DataFolder.open(root, stems, empty=not (root / "masks").is_dir())
        if folder.has_index:
            groups = folder.groups()
            numbers = {name: at for at, name in enumerate(sorted(set(groups.values())))}
            return [numbers[groups[stem]] for stem in stems], "index"
    except GasedgeError as error:
        _log.warning("scenes are told apart by likeness: %s", error)
    leader = list(range(len(facts)))

    def first(at: int) -> int:
        while leader[at] != at:
            at = leader[at]
        return at

    for one, other in zip(*same_view(np.stack([each.look for each in facts])), strict=True):
        low, high = sorted((first(int(one)), first(int(other))))
        leader[high] = low
    return [first(at) for at in range(len(facts))], "likeness"
