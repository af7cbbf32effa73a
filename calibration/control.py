"""Hold the INT8 graph against FP32 on pictures that it was not calibrated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.card import Agreement
from calibration.frames import spread
from contract.errors import CheckError
from contract.pictures import fit_picture, png_of, read_picture
from contract.precision import Precision
from edge_runtime.backends.known_answer import golden_frame
from edge_runtime.backends.onnxruntime_cpu import OnnxRuntimeSegmenter
from edge_runtime.backends.open import open_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.control_set import ControlSet
    from contract.bundle import Bundle
    from contract.scores import Scores
    from contract.segmenter import Segmenter

__all__ = ["ControlResult", "check_on_control"]

_PICTURES = 32  # for the agreement; scores take all
_TOLERANCE = (0.005, 0.10)  # smallest and largest golden tolerance, share of a frame's pixels
# a runtime may be so many times, and so much of the pixels, further from FP32 than the graph
_WRONG = (1.5, 0.005)


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What the checks found."""

    scores: dict[Precision, Scores]
    backends: dict[Precision, str]
    agreement: tuple[Agreement, ...]
    golden: dict[str, bytes]  # golden mask file -> PNG of class indices
    tolerance: float  # share of a golden frame's pixels that may differ


def check_on_control(
    bundle: Bundle,
    int8: bytes,
    int8_for_cpu: bytes,
    control: ControlSet,
) -> ControlResult:
    """Score FP32, FP16 and INT8 on the control set and compare their masks.

    The CPU runtime is the one the device would take; the reference is ONNX Runtime running the
    graph node by node. Both round in their own order, so where the network is undecided they
    differ from each other; but a runtime that computes rightly is no further from FP32 than the
    reference is. Golden masks come from the reference, and their tolerance is twice the most that
    the two were seen to differ in.

    Args:
        bundle: with the graphs of the other precisions.
        int8: bytes of the INT8 graph.
        int8_for_cpu: bytes of the one that the CPU runtimes take.
        control: the control set.

    Raises:
        CheckError: when the runtime computes the INT8 graph otherwise than the reference.
    """
    geometry = bundle.manifest.input
    graphs = {each: bundle.graph(each) for each in bundle.precisions}
    graphs[Precision.INT8] = int8_for_cpu
    chosen = [control.pictures[i] for i in spread(len(control.pictures), _PICTURES)]
    shown = [fit_picture(read_picture(path), geometry) for path in chosen]
    golden_frames = [golden_frame(bundle, entry) for entry in bundle.manifest.golden]
    scores: dict[Precision, Scores] = {}
    backends: dict[Precision, str] = {}
    masks: dict[Precision, list[NDArray[np.uint8]]] = {}
    for precision, graph in graphs.items():
        scores[precision] = control.scores_of(graph, precision)
        with open_graph(graph, geometry, precision) as segmenter:
            backends[precision] = segmenter.name
            masks[precision] = _masks(segmenter, shown + golden_frames)
    with OnnxRuntimeSegmenter(
        int8, geometry=geometry, precision=Precision.INT8, optimise=False
    ) as reference:
        truth, reference_name = _masks(reference, shown + golden_frames), reference.name
    against_reference = _agreement(
        backends[Precision.INT8], masks[Precision.INT8], reference_name, truth
    )
    as_written = _agreement(reference_name, truth, backends[Precision.FP32], masks[Precision.FP32])
    others = [
        _agreement(backends[each], masks[each], backends[Precision.FP32], masks[Precision.FP32])
        for each in graphs
        if each is not Precision.FP32
    ]
    times, share = _WRONG
    if others[-1].mean > times * as_written.mean + share:
        raise CheckError(
            f"{others[-1].of} is {others[-1].mean:.1%} of the pixels away from FP32, the graph as "
            f"written only {as_written.mean:.1%}: this runtime computes INT8 wrongly on this CPU; "
            "the bundle is unchanged"
        )
    low, high = _TOLERANCE
    if against_reference.worst > high:
        raise CheckError(
            f"INT8 rounding alone decides {against_reference.worst:.1%} of a frame's pixels "
            f"({high:.0%} may): the network is undecided, and no known-answer test could tell it "
            "from a broken engine; train it longer. The bundle is unchanged"
        )
    golden = {
        entry.mask(Precision.INT8): png_of(mask)
        for entry, mask in zip(bundle.manifest.golden, truth[len(shown) :], strict=True)
    }
    return ControlResult(
        scores=scores,
        backends=backends,
        agreement=(*others, as_written, against_reference),
        golden=golden,
        tolerance=min(high, max(low, 2 * against_reference.worst)),
    )


def _masks(segmenter: Segmenter, frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [segmenter.segment(frame[None]).mask[0] for frame in frames]


def _agreement(
    of: str, found: list[NDArray[np.uint8]], against: str, truth: list[NDArray[np.uint8]]
) -> Agreement:
    shares = [float(np.mean(a != b)) for a, b in zip(found, truth, strict=True)]
    return Agreement(
        of=of, against=against, mean=float(np.mean(shares)), worst=max(shares), frames=len(shares)
    )
