"""Add the INT8 graph to a bundle: frames, ranges, Q/DQ, a check on control frames, the card.

Nothing is written before everything is checked, and then the manifest last: a bundle is either as
it was or whole with INT8.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from calibration.apart import open_apart
from calibration.card import Card, FrameHash, LayerCost
from calibration.control import check_on_control
from calibration.control_set import ControlSet
from calibration.disjoint import require_disjoint, seen_in
from calibration.frames import require_sound
from calibration.half_core import require_half_range
from calibration.learned_ranges import take_learned
from calibration.placement import Choice, place
from calibration.quantize import quantized_graph
from calibration.range_methods import DEFAULT_METHOD
from calibration.ranges import collect_ranges, range_table
from calibration.report.report import write_report
from calibration.search import Search
from calibration.selection import DEFAULT_COUNT, candidates, choose, mix_of, require_thin
from calibration.tensorrt_cache import cache_from_graphs, watched_for_cache
from contract.atomic import sha256_of_bytes
from contract.bundle import CARD, graph_name, opset17_graph_name
from contract.calibrated_ranges import CALIBRATION_CACHE, RANGES
from contract.errors import CheckError
from contract.machine import this_machine
from contract.manifest import MeasuredScores
from contract.packages import need, versions_of
from contract.pictures import fit_picture, read_picture
from contract.precision import Precision
from contract.recorded_scores import scores_with
from contract.trained_pictures import trained_among
from contract.trained_scales import trained_scales_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from calibration.apart import ApartSet
    from calibration.control import ControlResult
    from calibration.frames import FrameFacts
    from calibration.placement import Placement
    from calibration.search import Outcome
    from calibration.selection import Chosen
    from contract.bundle import Bundle

__all__ = ["OPSET17_GRAPH", "CalibrationRequest", "calibrate"]

OPSET17_GRAPH = opset17_graph_name(Precision.INT8)
_TOOLS = ("numpy", "onnx", "onnxruntime", "openvino", "opencv-python-headless")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What the command line asks for."""

    frames: Path
    control: Path
    frames_only: Sequence[str] | None = None  # stems
    control_only: Sequence[str] | None = None  # stems
    apart: Sequence[Path] = ()  # folders of pictures, or lists of stems
    method: str = DEFAULT_METHOD  # one of METHODS, or "auto"
    choice: Choice = field(default_factory=Choice)
    max_iou_drop: float = 0.005  # gas-smoke IoU
    count: int | None = None  # None: all of a list, DEFAULT_COUNT of a folder
    seed: int = 0
    accept_mix: bool = False  # frames without thin plumes too
    one_camera: bool = False  # all sets may show one view
    opset17: bool = True  # also for TensorRT 8.5 and OpenVINO before 2026
    report: Path | None = None  # page to write, of a refused calibration too


def calibrate(bundle: Bundle, request: CalibrationRequest) -> tuple[Bundle, Card]:
    """Quantise the bundle's network, check it, and add graph, card, ranges and golden masks.

    Raises:
        InputError: when frames, control set or a set to hold apart cannot be used.
        CheckError: when INT8 loses more than the budget or a CPU runtime computes it otherwise;
            the bundle is then as it was.
    """
    fp32, geometry = bundle.graph(Precision.FP32), bundle.manifest.input
    control = ControlSet(request.control, request.control_only, geometry)
    apart = [open_apart(path, request.control, request.frames) for path in request.apart]
    chosen = _frames(fp32, bundle, request, control, apart)

    graph = need("onnx", extra="export").load_model_from_string(fp32).graph
    everything = place(graph, replace(request.choice, fp16=frozenset()))
    fitted = (fit_picture(read_picture(each.path), geometry) for each in chosen.frames)
    tensors = sorted({*everything.pairs, *watched_for_cache(fp32)})
    watched = collect_ranges(fp32, tensors, fitted, n_frames=len(chosen.frames))
    require_half_range({name: each.largest for name, each in watched.items()})
    method = take_learned(watched, trained_scales_of(bundle), request.method)
    opset17 = request.opset17 or OPSET17_GRAPH in bundle.manifest.files  # never an older one beside
    search = Search(fp32, geometry, watched, everything, request.choice, control, half=not opset17)
    found = search.run(method, request.max_iou_drop, chosen)
    if found.refusal and request.report is None:
        raise CheckError(found.refusal)

    int8 = quantized_graph(fp32, found.largest, found.choice)
    added = {graph_name(Precision.INT8): int8}
    if opset17:
        added[OPSET17_GRAPH] = quantized_graph(fp32, found.largest, found.choice, half=False)
    result = check_on_control(bundle, int8, added.get(OPSET17_GRAPH, int8), control=control)

    card = Card(
        model_id=bundle.manifest.model_id,
        made_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        machine=str(this_machine()),
        tools=versions_of(_TOOLS),
        fp32_sha256=sha256_of_bytes(fp32),
        int8_sha256=sha256_of_bytes(int8),
        method=found.method,
        methods=found.methods,
        seed=request.seed,
        concat=request.choice.concat,
        frames=_hashes(chosen.frames),
        mix=mix_of(chosen),
        layers=_layers(place(graph, found.choice), found),
        attempts=found.attempts,
        control=_hashes(control.facts),
        apart=tuple(each.as_recorded() for each in apart),
        one_camera=request.one_camera,
        max_iou_drop=request.max_iou_drop,
        iou_drop=found.iou_drop,
        scores=result.scores,
        agreement=result.agreement,
    )
    table = range_table(watched, [each.method for each in found.methods], found.method)
    added |= {
        CARD: (card.model_dump_json(indent=1) + "\n").encode(),
        RANGES: (table.model_dump_json(indent=1) + "\n").encode(),
        CALIBRATION_CACHE: cache_from_graphs(fp32, int8, found.largest),
        **result.golden,
    }
    if request.report is not None:
        write_report(request.report, bundle, control.folder, added)
    if found.refusal:
        raise CheckError(found.refusal)
    return _published(bundle, added, result, request, card, control), card


def _frames(
    fp32: bytes,
    bundle: Bundle,
    request: CalibrationRequest,
    control: ControlSet,
    apart: Sequence[ApartSet],
) -> Chosen:
    others: dict[str, Sequence[FrameFacts]] = {"the control set": control.facts}
    others |= {each.name: each.facts for each in apart}
    require_disjoint(others, one_camera=request.one_camera)  # before the long look at the frames
    root, files = candidates(request.frames, request.frames_only)
    wanted = None if request.frames_only is not None else DEFAULT_COUNT
    chosen = choose(
        root,
        files,
        count=request.count or wanted,
        seed=request.seed,
        graph=fp32,
        geometry=bundle.manifest.input,
        seen=lambda facts: seen_in(facts, others.values(), one_camera=request.one_camera),
    )
    require_sound(chosen.frames)
    require_disjoint(
        {"the calibration frames": chosen.frames, **others}, one_camera=request.one_camera
    )
    if not request.accept_mix:
        require_thin(chosen)
    return chosen


def _layers(placement: Placement, found: Outcome) -> tuple[LayerCost, ...]:
    return tuple(
        LayerCost(
            name=name,
            precision=Precision.FP16 if name in placement.left_out else Precision.INT8,
            reason=placement.left_out.get(name, ""),
            damage=found.damage.get(name),
            iou_drop_in_int8=found.in_int8.get(name),
        )
        for name in placement.order
    )


def _published(
    bundle: Bundle,
    added: dict[str, bytes],
    result: ControlResult,
    request: CalibrationRequest,
    card: Card,
    control: ControlSet,
) -> Bundle:
    manifest = bundle.manifest
    split = f"{len(request.control_only)} listed" if request.control_only else "all"
    by = "by picture" if request.one_camera else "by picture and by view"
    apart = "".join(f", {each.name}" for each in card.apart)
    trained = trained_among(bundle, control.pictures)
    training = " (training not checked)" if trained is None else ", and training, by file"
    if trained:
        training = f"; but {trained} of {len(card.control)} pictures were trained on"
        _log.warning("%d of %d control pictures were trained on", trained, len(card.control))
    chosen = [
        what
        for what, much in (("the method", len(card.methods) > 1), ("FP16 layers", card.attempts))
        if much
    ]
    measured = [
        MeasuredScores(
            precision=precision,
            backend=result.backends[precision],
            data=f"{request.control.resolve().name}, {split}",
            disjoint_from=f"calibration{apart}, {by}{training}"
            + (f"; but {' and '.join(chosen)} chosen on it" if chosen else ""),
            scores=scores,
        )
        for precision, scores in result.scores.items()
    ]
    return bundle.updated(
        added,
        scores=scores_with(manifest.scores, *measured),
        golden_tolerance=manifest.golden_tolerance | {Precision.INT8: result.tolerance},
        tools=manifest.tools | versions_of(_TOOLS),
    )


def _hashes(frames: Sequence[FrameFacts]) -> tuple[FrameHash, ...]:
    return tuple(FrameHash(name=frame.path.name, sha256=frame.sha256) for frame in frames)
