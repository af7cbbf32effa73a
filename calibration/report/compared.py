"""Run every precision over the control set side by side, one picture at a time, and keep the sums.

Memory does not grow with the set: scores are counts, the map is one picture large, and of the
pictures only the worst stay.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.evaluation import Evaluation, Evaluator
from contract.gallery import Gallery, ShownPicture
from contract.intervals import Interval, grouped_interval, sums_by_group
from contract.label_map import CLASSES, GAS_SMOKE, IGNORE
from contract.pictures import fit_mask, fit_picture
from contract.plume_scores import FOUND_SHARE
from contract.precision import Precision
from contract.scores import confusion, gas_iou_of
from contract.timing import Timing, time_in_turns
from edge_runtime.backends.open import open_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from contract.data_folder import DataFolder
    from contract.geometry import InputGeometry
    from contract.segmenter import Segmenter

__all__ = ["SCORE_BINS", "Compared", "Disagreement", "compare"]

SCORE_BINS = 10
_ROUNDS, _CALLS, _WARM_UP = 7, 5, 3


@dataclass(slots=True)
class Disagreement:
    """Where one precision's masks differ from those of FP32; padding counts nowhere."""

    differing: NDArray[np.int64]  # (H, W) pictures in which this pixel differs
    counted: NDArray[np.int64]  # (H, W) pictures in which it counts
    moved: NDArray[np.int64]  # (C, C) pixels by class of FP32 and of this precision
    by_score: NDArray[np.int64]  # (2, SCORE_BINS) pixels, and of these differing, by FP32's score
    lost: list[str]  # pictures whose plume FP32 finds and this precision does not
    gained: list[str]

    @property
    def share(self) -> float:
        """Share of all counted pixels that differ."""
        return float(self.differing.sum() / max(1, self.counted.sum()))


@dataclass(frozen=True, slots=True)
class Compared:
    """What the precisions gave on one set."""

    evaluations: dict[Precision, Evaluation]
    backends: dict[Precision, str]
    against_fp32: dict[Precision, Disagreement]
    gas_change: dict[Precision, Interval]  # of gas-smoke IoU; none where nothing says groups
    worst: Gallery  # by what INT8 changed in gas-smoke IoU
    timings: dict[Precision, Timing]


def compare(
    graphs: Mapping[Precision, bytes],
    geometry: InputGeometry,
    folder: DataFolder,
    *,
    backend: str = "auto",
    threads: int | None = None,
) -> Compared:
    """Score the graphs on the same pictures and time them in turns.

    Args:
        graphs: bytes of the deploy graph of each precision, FP32 and INT8 among them.
        geometry: the network's input.
        folder: the control set, opened.
        backend: of the CPU, as of `open_graph`.
        threads: CPU threads, None for all.

    Raises:
        InputError: when a picture or mask cannot be used.
        EngineError: when the backend fails.
    """
    evaluators = {precision: Evaluator(folder.labelled) for precision in graphs}
    apart: dict[Precision, Disagreement] = {
        p: _nothing(geometry) for p in graphs if p is not Precision.FP32
    }
    groups = folder.groups() if folder.has_index else None
    worst = Gallery()
    frame: NDArray[np.uint8] | None = None
    with ExitStack() as stack:
        opened: dict[Precision, Segmenter] = {
            precision: stack.enter_context(
                open_graph(graph, geometry, precision, backend=backend, threads=threads)
            )
            for precision, graph in graphs.items()
        }
        rows = tqdm(folder, total=len(folder), desc="comparing precisions", delay=2)
        for name, picture, labels in rows:
            frame, truth = fit_picture(picture, geometry), fit_mask(labels, geometry)
            found = {p: each.segment(frame[None]) for p, each in opened.items()}
            masks = {p: each.mask[0] for p, each in found.items()}
            group = groups[name] if groups else None
            for precision, evaluator in evaluators.items():
                score = found[precision].score[0]
                evaluator.add(frame, truth, masks[precision], score, name=name, group=group)
            for precision, each in apart.items():
                _add(each, name, truth, masks[Precision.FP32], masks[precision])
                _add_by_score(each, truth, found[Precision.FP32].score[0], masks, precision)
            change, caption = _judged(truth, masks)
            if name in apart[Precision.INT8].lost:  # above all else, and beside its near-copies
                change, caption, group = change - 2, f"PLUME LOST, {caption}", None
            shown = ShownPicture(
                f"{name}: {caption}",
                frame,
                masks[Precision.INT8],
                truth,
                beside=tuple((str(p), m) for p, m in masks.items() if p is not Precision.INT8),
            )
            worst.offer(change, lambda picture=shown: picture, group)  # type: ignore[misc]
        names = {precision: each.name for precision, each in opened.items()}
        timings = time_in_turns(
            {str(precision): each for precision, each in opened.items()},
            np.zeros((1, geometry.height, geometry.width, 3), np.uint8)
            if frame is None
            else frame[None],
            rounds=_ROUNDS,
            calls=_CALLS,
            warm_up=_WARM_UP,
        )
    results = {precision: each.result() for precision, each in evaluators.items()}
    return Compared(
        evaluations=results,
        backends=names,
        against_fp32=apart,
        gas_change=_gas_changes(results, groups),
        worst=worst,
        timings={precision: timings[str(precision)] for precision in opened},
    )


def _nothing(geometry: InputGeometry) -> Disagreement:
    size, classes = (geometry.height, geometry.width), len(CLASSES)
    return Disagreement(
        differing=np.zeros(size, np.int64),
        counted=np.zeros(size, np.int64),
        moved=np.zeros((classes, classes), np.int64),
        by_score=np.zeros((2, SCORE_BINS), np.int64),
        lost=[],
        gained=[],
    )


def _add(
    to: Disagreement,
    name: str,
    truth: NDArray[np.uint8],
    fp32: NDArray[np.uint8],
    other: NDArray[np.uint8],
) -> None:
    counted = truth != IGNORE
    to.counted += counted
    to.differing += counted & (fp32 != other)
    to.moved += confusion(np.where(counted, fp32, np.uint8(IGNORE)), other, len(CLASSES))
    plume = truth == GAS_SMOKE
    needed = FOUND_SHARE * plume.sum()
    if needed:
        before, after = (np.sum(plume & (mask == GAS_SMOKE)) >= needed for mask in (fp32, other))
        if before and not after:
            to.lost.append(name)
        elif after and not before:
            to.gained.append(name)


def _add_by_score(
    to: Disagreement,
    truth: NDArray[np.uint8],
    score: NDArray[np.uint8],
    masks: Mapping[Precision, NDArray[np.uint8]],
    precision: Precision,
) -> None:
    counted = truth != IGNORE
    bins = np.minimum(score.astype(np.int64) * SCORE_BINS // 255, SCORE_BINS - 1)
    differing = counted & (masks[Precision.FP32] != masks[precision])
    for row, chosen in enumerate((counted, differing)):
        to.by_score[row] += np.bincount(bins[chosen], minlength=SCORE_BINS)


def _judged(
    truth: NDArray[np.uint8], masks: Mapping[Precision, NDArray[np.uint8]]
) -> tuple[float, str]:
    """How much better INT8 is than FP32 on a picture, and in words.

    With gas in the truth it is the change of gas-smoke IoU, without it the share of the picture
    that is no longer falsely marked: both lie between -1 and 1.
    """
    counts = {p: confusion(truth, masks[p], len(CLASSES)) for p in (Precision.FP32, Precision.INT8)}
    if counts[Precision.FP32][GAS_SMOKE].any():
        before, after = (float(gas_iou_of(each)) for each in counts.values())
        return after - before, f"gas-smoke IoU FP32 {before:.3f}, INT8 {after:.3f}"
    pixels = max(1, int(counts[Precision.FP32].sum()))
    before, after = (int(each[:, GAS_SMOKE].sum()) / pixels for each in counts.values())
    return before - after, f"no gas here; marked FP32 {before:.2%}, INT8 {after:.2%}"


def _gas_changes(
    results: Mapping[Precision, Evaluation], groups: Mapping[str, str] | None
) -> dict[Precision, Interval]:
    """Change of gas-smoke IoU against FP32, resampled over the same groups of both."""
    if groups is None:
        return {}
    sums = {p: sums_by_group(each.images, groups) for p, each in results.items()}
    found = {
        p: grouped_interval(
            np.stack([sums[Precision.FP32], each], axis=1),
            lambda pooled: gas_iou_of(pooled[:, 1]) - gas_iou_of(pooled[:, 0]),
        )
        for p, each in sums.items()
        if p is not Precision.FP32
    }
    return {p: each for p, each in found.items() if each is not None}
