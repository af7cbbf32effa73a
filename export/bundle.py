"""Checkpoint -> bundle: deploy graphs that agree with their network, and golden frames to prove it.

Nothing is written before both graphs have been run and agree.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.bundle import BUNDLE_SUFFIX, Bundle, create_bundle, graph_name
from contract.errors import ConfigError
from contract.manifest import GoldenEntry
from contract.packages import need, versions_of
from contract.pictures import fit_picture, png_of
from contract.precision import Precision
from contract.trained_pictures import TRAINED_PICTURES
from contract.trained_scales import TRAINED_SCALES, TrainedScales
from export.agreement import network_probabilities, require_agreement
from export.golden_frames import choose_golden, simulated_frames
from export.half_range import require_half_range
from export.reference_run import run_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry
    from contract.trained_pictures import TrainedPictures
    from export.agreement import Agreement
    from train.networks.frame_network import FrameNetwork

__all__ = ["bundle_from_checkpoint", "bundle_from_network"]

log = logging.getLogger(__name__)

_PRECISIONS = (Precision.FP32, Precision.FP16)
_TOLERANCE = (0.001, 0.02)  # smallest and largest golden tolerance, share of a frame's pixels
_MARGIN = 4
_TOOLS = (
    "gasedge",
    "torch",
    "segmentation-models-pytorch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
)


def bundle_from_checkpoint(
    checkpoint: Path, out: Path, *, golden_frames: Sequence[NDArray[np.uint8]] | None = None
) -> Bundle:
    """Export a checkpoint.

    Args:
        checkpoint: as `gasedge train` leaves it.
        out: the bundle to write, `<name>.gasedge`; must not exist.
        golden_frames: candidates for the known-answer test, (h, w, 3) uint8 BGR pictures of any
            size; None takes simulated ones.

    Raises:
        CheckError: when a graph disagrees with the network, or no golden frame shows gas.
        ConfigError: when `out` is no bundle's name or is already there.
        InputError: when the checkpoint cannot be used.
    """
    need("torch", extra="train")
    from train.networks.checkpoint import network_from_checkpoint

    loaded = network_from_checkpoint(checkpoint)
    return bundle_from_network(
        loaded.network,
        loaded.geometry,
        out,
        model_id=loaded.model_id,
        training=loaded.training,
        golden_frames=golden_frames,
        int8_scales=loaded.int8_scales,
        pictures=loaded.pictures,
    )


def bundle_from_network(
    network: FrameNetwork,
    geometry: InputGeometry,
    out: Path,
    *,
    model_id: str,
    training: Mapping[str, str | int | float | bool | None],
    golden_frames: Sequence[NDArray[np.uint8]] | None = None,
    int8_scales: Mapping[str, float] | None = None,
    pictures: TrainedPictures | None = None,
) -> Bundle:
    """Export a torch network that is in memory; arguments as of `bundle_from_checkpoint`.

    Args:
        network: frames (N, H, W, 3) uint8 -> logits (N, 3, H, W), in eval mode.
        geometry: the network's input.
        out: the bundle to write.
        model_id: name of the model.
        training: what is known of how it was trained.
        golden_frames: candidates for the known-answer test.
        int8_scales: steps that it learned with under fake quantisation, by activation; its
            calibration will take them.
        pictures: that it was trained on.
    """
    if out.suffix != BUNDLE_SUFFIX:
        raise ConfigError(f"{out}: a bundle's name ends in {BUNDLE_SUFFIX}")
    if out.exists():
        raise ConfigError(f"{out}: is already there; remove it or give another name")
    for package in ("onnx", "onnxscript", "onnxruntime", "cv2"):
        need(package, extra="export")
    from export.deploy_graph import onnx_from_network

    with tqdm(total=2 + 2 * len(_PRECISIONS), desc="export", leave=False, disable=None) as steps:
        if golden_frames is None:
            candidates = simulated_frames(geometry)
        else:
            fitted = [fit_picture(picture, geometry) for picture in golden_frames]
            shape = (0, geometry.height, geometry.width, 3)
            candidates = np.stack(fitted) if fitted else np.empty(shape, np.uint8)
        probabilities = network_probabilities(network, candidates)
        chosen = choose_golden(candidates, probabilities)
        frames, truth = candidates[chosen], probabilities[chosen]
        golden = tuple(GoldenEntry(name=f"frame-{n}") for n in range(len(frames)))
        files = {entry.frame: png_of(frame) for entry, frame in zip(golden, frames, strict=True)}
        steps.update(2)

        tolerance: dict[Precision, float] = {}
        for precision in _PRECISIONS:
            graph = onnx_from_network(network, geometry, precision)
            steps.update()
            if precision is Precision.FP32:
                require_half_range(graph, frames)
            result = run_reference(graph, frames)
            found = require_agreement(truth, result, precision, [entry.name for entry in golden])
            steps.update()
            tolerance[precision] = _golden_tolerance(found, precision)
            files[graph_name(precision)] = graph
            for entry, mask in zip(golden, result.mask, strict=True):
                files[entry.mask(precision)] = png_of(mask)

    if pictures and pictures.hashes:
        files[TRAINED_PICTURES] = pictures.as_bytes()
    if int8_scales:
        files[TRAINED_SCALES] = TrainedScales(scales=dict(int8_scales)).as_bytes()
    return create_bundle(
        out,
        files,
        model_id=model_id,
        created_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        input=geometry,
        training=dict(training),
        golden=golden,
        golden_tolerance=tolerance,
        tools=versions_of(_TOOLS),
    )


def _golden_tolerance(found: Sequence[Agreement], precision: Precision) -> float:
    """Share of a golden frame's pixels in which another honest backend may differ.

    How far this graph's rounding already moved the mask from the network's says how many pixels
    lie on the edge; two backends may stray from the network to either side, hence the factor.
    """
    low, high = _TOLERANCE
    differing = max(each.differing for each in found)
    log.info(
        "%s graph agrees with its network: %.3f %% of the pixels differ in class, all of them "
        "undecided ones, gas probability by at most %.4f",
        precision,
        100 * differing,
        max(each.largest for each in found),
    )
    if _MARGIN * differing > high:
        log.warning(
            "the network is undecided in so much of a golden frame that rounding to %s moves "
            "%.1f %% of its mask; the known-answer test allows %.1f %% and may refuse honest "
            "engines: train longer or give clearer frames (--golden)",
            precision,
            100 * differing,
            100 * high,
        )
    return min(high, max(low, _MARGIN * differing))
