"""Add the INT8 graph to a bundle: ranges from frames, Q/DQ, a check on control frames, the card.

Nothing is written before everything is checked, and then the manifest last: a bundle is either as
it was or whole with INT8.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.card import RANGES, Card, FrameHash, mix_of
from calibration.control import check_on_control, require_budget
from calibration.frames import choose_frames, require_disjoint, require_sound, study
from calibration.placement import place
from calibration.quantize import quantized_graph
from calibration.ranges import DEFAULT_METHOD, collect_ranges
from contract.atomic import sha256_of_bytes
from contract.bundle import graph_name, opset17_graph_name
from contract.data_folder import DataFolder
from contract.machine import this_machine
from contract.manifest import MeasuredScores
from contract.packages import need, versions_of
from contract.pictures import fit_picture, read_picture
from contract.precision import Precision
from contract.recorded_scores import CARD, scores_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from calibration.control import ControlResult
    from calibration.frames import FrameFacts
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
    method: str = DEFAULT_METHOD
    max_iou_drop: float = 0.005  # gas-smoke IoU
    count: int = 256
    seed: int = 0
    opset17: bool = True  # also for TensorRT 8.5 and OpenVINO before 2026


def calibrate(bundle: Bundle, request: CalibrationRequest) -> tuple[Bundle, Card]:
    """Quantise the bundle's network, check it, and add graph, card, ranges and golden masks.

    Raises:
        InputError: when frames or control set cannot be used.
        CheckError: when INT8 loses more than the budget or a CPU runtime computes it otherwise;
            the bundle is then as it was.
    """
    fp32 = bundle.graph(Precision.FP32)
    files = choose_frames(
        request.frames, only=request.frames_only, count=request.count, seed=request.seed
    )
    control = DataFolder.open(request.control, request.control_only)
    frames = study(files, doing="calibration frames")
    require_sound(frames)
    seen = study([control.images[name] for name in control.names], doing="control frames")
    require_disjoint(frames, seen)

    placement = place(need("onnx", extra="export").load_model_from_string(fp32).graph)
    geometry = bundle.manifest.input
    fitted = (fit_picture(read_picture(frame.path), geometry) for frame in frames)
    watched = collect_ranges(fp32, sorted(placement.pairs), fitted, n_frames=len(frames))
    largest = {name: each.covering(request.method) for name, each in watched.ranges.items()}
    int8 = quantized_graph(fp32, largest)
    added = {graph_name(Precision.INT8): int8}
    if request.opset17 or OPSET17_GRAPH in bundle.manifest.files:  # never an older one beside it
        added[OPSET17_GRAPH] = quantized_graph(fp32, largest, half=False)
    result = check_on_control(
        bundle,
        int8,
        added.get(OPSET17_GRAPH, int8),
        data=request.control,
        only=request.control_only,
        pictures=[each.path for each in seen],
    )
    drop = require_budget(result.scores, request.max_iou_drop)

    card = Card(
        model_id=bundle.manifest.model_id,
        made_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        machine=str(this_machine()),
        tools=versions_of(_TOOLS),
        fp32_sha256=sha256_of_bytes(fp32),
        int8_sha256=sha256_of_bytes(int8),
        method=request.method,
        seed=request.seed,
        frames=_hashes(frames),
        mix=mix_of(frames, watched.gas_shares),
        convolutions_int8=len(placement.convolutions),
        convolutions_float=placement.left_out,
        control=_hashes(seen),
        max_iou_drop=request.max_iou_drop,
        iou_drop=drop,
        scores=result.scores,
        agreement=result.agreement,
    )
    if card.mix.with_gas == 0:
        _log.warning("the FP32 network sees gas or smoke in none of the calibration frames")
    ranges = {
        name: {"max": each.largest, request.method: largest[name]}
        for name, each in watched.ranges.items()
    }
    added |= {
        CARD: (card.model_dump_json(indent=1) + "\n").encode(),
        RANGES: (json.dumps(ranges, indent=1) + "\n").encode(),
        **result.golden,
    }
    return _published(bundle, added, result, request), card


def _published(
    bundle: Bundle, added: dict[str, bytes], result: ControlResult, request: CalibrationRequest
) -> Bundle:
    manifest = bundle.manifest
    split = f"{len(request.control_only)} listed" if request.control_only else "all"
    measured = [
        MeasuredScores(
            precision=precision,
            backend=result.backends[precision],
            data=f"{request.control.resolve().name}, {split}",
            disjoint_from="calibration (training not checked)",
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
