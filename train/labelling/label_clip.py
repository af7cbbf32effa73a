"""Label every frame of a still camera's clip and write the result as a data folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from contract.box_scores import inside_of, read_yolo_boxes
from contract.errors import InputError
from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE, IGNORE, MACHINE
from contract.pictures import read_mask_values, read_picture
from train.formats.folder_writer import Sample, write_folder
from train.labelling.gas import GasLabel, change_of, gas_label, plume_place, thresholds_of
from train.labelling.machines import machines_of
from train.labelling.network_opinion import agreement, with_opinion
from train.labelling.shake import moved
from train.labelling.still_background import background_of, of_run
from train.labelling.still_clip import StillClip
from train.labelling.still_scenes import scenes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from train.labelling.machines import MachineLabel
    from train.labelling.network_opinion import NetworkOpinion
    from train.labelling.still_background import StillBackground
    from train.labelling.still_scenes import StillRun, StillScene

__all__ = ["SIGNS", "LabelSummary", "label_clip"]

SIGNS = {"auto": None, "brighter": 1, "darker": -1, "either": 0}
"""How gas differs from what is behind it."""

_UNSURE_SCENE = 0.05  # of the picture is hidden by gas that never clears: say so
_SHINING = 0.5  # weight of a machine that changes a little
# somebody says of nearly all frames that gas is in this box: steady gas does not change
_ALWAYS, _ALWAYS_BOXED = 0.9, 0.3  # of a run's frames; weight of background there
_log = logging.getLogger(__name__)

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """What was written."""

    frames: int
    groups: int
    views: int  # cameras, or positions of one
    gas_share: float  # of all pixels
    machine_share: float
    ignored_share: float
    mean_weight: float  # 0..1, over all pixels
    unknown_share: float  # of the views where gas never clears
    frames_with_gas: int


@dataclass(frozen=True, slots=True)
class _Labelled:
    run: str
    mask: NDArray[np.uint8]
    weight: NDArray[np.uint8]


def label_clip(
    source: Path,
    out: Path,
    *,
    boxes: Path | None = None,
    sign: str = "auto",
    machines: Path | None = None,
    no_machines: bool = False,
    every: int = 1,
    opinion: NetworkOpinion | None = None,
) -> LabelSummary:
    """Label a clip.

    Args:
        source: a video, or a folder of frames.
        out: the data folder, which must not be there yet.
        boxes: folder with a YOLO text file for each frame; None finds the plume by itself.
        sign: one of `SIGNS`.
        machines: a mask drawn by hand, more than 0 where a machine is, for the only view; None
            finds structure by itself.
        no_machines: leave machines unlabelled: background then means "background or machine".
        every: take every so many-th frame of a video.
        opinion: a trained network, whose score is weighed against the change.

    Raises:
        InputError: when the clip, a box or the mask cannot be used, or the camera moves.
        GasedgeError: when `out` is there or the disk refuses.
    """
    if out.exists():
        raise InputError(f"{out}: is already there; remove it or give another name")
    clip = StillClip.open(source, every)
    inside = _inside(clip, boxes) if boxes is not None else None
    scenes = scenes_of(clip)
    drawn = _drawn(clip, machines, len(scenes)) if machines is not None else None
    scores = _scores(clip, opinion) if opinion is not None else {}
    labels: list[_Labelled | None] = [None] * len(clip.stems)
    unknown = []
    bar = tqdm(total=len(clip.stems), desc="label", delay=2)
    with bar:
        for scene in scenes:
            background = _background(clip, scene, inside, SIGNS[sign])
            still = None if no_machines else machines_of(background)
            if still is not None and drawn is not None:
                still = replace(still, mask=drawn, weight=np.ones_like(still.weight))
            for run in scene.runs:
                of_this = of_run(background, *run.samples(clip, len(run.positions))[:2])
                unknown.append(float(1 - of_this.known.mean()))
                for at, label in _run_labels(clip, run, of_this, inside, still, scores):
                    labels[at] = label
                    bar.update()
    if max(unknown) > _UNSURE_SCENE:
        _log.warning(
            "%s: gas hardly ever clears from %.0f %% of the picture; what has not changed there is "
            "left out of the labels. A longer clip, or one from before the leak, would tell",
            source,
            100 * max(unknown),
        )
    done = [label for label in labels if label is not None]
    labelled = [each.index for each in CLASSES if each.index != MACHINE or not no_machines]
    write_folder(out, _samples(clip, done), labelled)
    return _summary(clip, done, len(scenes), unknown)


def _inside(clip: StillClip, folder: Path) -> NDArray[np.bool_]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one with <frame>.txt boxes")
    inside = np.zeros(clip.grey.shape, np.bool_)
    for at, stem in enumerate(clip.stems):
        for box in read_yolo_boxes(folder / f"{stem}.txt"):
            inside[at][inside_of(box, clip.grey.shape[1:])] = True
    return inside


def _drawn(clip: StillClip, machines: Path, views: int) -> NDArray[np.bool_]:
    if views > 1:
        raise InputError(
            f"{clip.source}: shows {views} views; a mask of machines fits one of them only"
        )
    mask = np.asarray(read_mask_values(machines) > 0, np.bool_)
    if mask.shape != clip.grey.shape[1:]:
        height, width = clip.grey.shape[1:]
        raise InputError(
            f"{machines}: is {mask.shape[1]}x{mask.shape[0]}, the frames are {width}x{height}"
        )
    return mask


def _scores(clip: StillClip, opinion: NetworkOpinion) -> dict[int, NDArray[np.uint8]]:
    """Gas score (h, w), 0..255, of each frame that is asked about, by its position."""
    scores: dict[int, NDArray[np.uint8]] = {}
    pictures = tqdm(clip.pictures(), "ask the network", len(clip.stems), delay=2)
    for at, picture in enumerate(pictures):
        if opinion.is_asked(clip.stems[at]):
            pixels = read_picture(picture) if isinstance(picture, Path) else picture
            scores[at] = np.rint(255 * opinion.score_of(pixels)).astype(np.uint8)
    return scores


def _background(
    clip: StillClip, scene: StillScene, inside: NDArray[np.bool_] | None, sign: int | None
) -> StillBackground:
    frames, before, positions = scene.samples(clip)
    return background_of(frames, before, sign, None if inside is None else inside[positions])


def _run_labels(
    clip: StillClip,
    run: StillRun,
    background: StillBackground,
    inside: NDArray[np.bool_] | None,
    machines: MachineLabel | None,
    scores: Mapping[int, NDArray[np.uint8]],
) -> Iterator[tuple[int, _Labelled]]:
    """Labels of a run's frames, each in its frame's own pixels."""
    count = len(run.positions)

    def changes() -> Iterator[Float]:
        return (change_of(run.frame(clip, at), background) for at in range(count))

    def within(at: int) -> NDArray[np.bool_]:
        if inside is None:
            return np.ones(clip.grey.shape[1:], np.bool_)
        boxed = inside[run.positions[at]].astype(np.float32)
        return moved(boxed, run.shifts[at], nearest=True) > 0

    thresholds = thresholds_of(changes(), background, (within(at) for at in range(count)))
    place = plume_place(changes(), thresholds) if inside is None else None

    boxed = np.zeros(clip.grey.shape[1:], np.float32)
    if inside is not None:
        boxed = np.mean([within(at) for at in range(count)], axis=0, dtype=np.float32)
    always = boxed > _ALWAYS

    def by_change(at: int, change: Float) -> GasLabel:
        where = within(at) if place is None else place
        label = gas_label(change, thresholds, where, background.known, boxed=place is None)
        label.weight[(label.mask == BACKGROUND) & always] *= _ALWAYS_BOXED
        return label

    opinions = {
        at: moved(np.asarray(scores[position] / 255, np.float32), run.shifts[at])
        for at, position in enumerate(run.positions)
        if position in scores
    }
    trust = agreement(
        (label.mask, label.weight, opinions[at])
        for at, change in enumerate(changes())
        if at in opinions and (label := by_change(at, change))
    )
    for at, change in enumerate(changes()):
        gas = by_change(at, change)
        if at in opinions:
            gas = GasLabel(*with_opinion(gas.mask, gas.weight, opinions[at], trust))
        mask, weight = gas.mask, gas.weight
        if machines is not None:
            mask, weight = _with_machines(gas, change, machines)
        back = (-run.shifts[at][0], -run.shifts[at][1])
        mask = moved(mask.astype(np.float32), back, nearest=True).astype(np.uint8)
        weight = moved(weight, back, nearest=True)
        trusted = np.rint(255 * weight).astype(np.uint8)
        yield run.positions[at], _Labelled(run.name, mask, trusted)


def _with_machines(
    gas: GasLabel, change: Float, machines: MachineLabel
) -> tuple[NDArray[np.uint8], Float]:
    mask, weight = gas.mask.copy(), gas.weight.copy()
    # a machine warms and flickers; what hides it changes it by more than half of what it stands out
    shines = (mask == IGNORE) & machines.mask & (change < machines.contrast / 2)
    mask[shines] = BACKGROUND
    weight[shines] = _SHINING
    still = mask == BACKGROUND
    mask[still & machines.mask] = MACHINE
    # no gas and no machine: as sure as the less sure of both
    weight[still] = np.minimum(weight, machines.weight)[still]
    return mask, weight


def _samples(clip: StillClip, labels: Sequence[_Labelled]) -> Iterator[Sample]:
    for stem, picture, label in zip(clip.stems, clip.pictures(), labels, strict=True):
        gas = float((label.mask == GAS_SMOKE).mean())
        details = {"gas_share": f"{gas:.5f}", "mean_weight": f"{label.weight.mean() / 255:.3f}"}
        yield Sample(stem, label.run, picture, label.mask, details, label.weight)


def _summary(
    clip: StillClip, labels: Sequence[_Labelled], views: int, unknown: Sequence[float]
) -> LabelSummary:
    masks = np.stack([label.mask for label in labels])
    return LabelSummary(
        frames=len(labels),
        groups=len(clip.runs),
        views=views,
        gas_share=float((masks == GAS_SMOKE).mean()),
        machine_share=float((masks == MACHINE).mean()),
        ignored_share=float((masks == IGNORE).mean()),
        mean_weight=float(np.mean([label.weight.mean() for label in labels])) / 255,
        unknown_share=float(np.mean(unknown)),
        frames_with_gas=int((masks == GAS_SMOKE).any(axis=(1, 2)).sum()),
    )
