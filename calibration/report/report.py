"""Write the page: what INT8 did to this network, on pictures that it was not calibrated on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.budget import holds
from calibration.card import Card, card_of
from calibration.frames import spread
from calibration.report.compared import compare
from calibration.report.differences import (
    GAS,
    counted,
    difference_sections,
    score_sections,
    size_sections,
    worst_sections,
)
from calibration.report.inside import decibel, layer_sections, range_sections, time_sections
from calibration.report.layers import inside_int8
from contract.bundle import CARD, graph_name, opset17_graph_name
from contract.calibrated_ranges import RANGES, RangeTable, ranges_of
from contract.machine import this_machine
from contract.pictures import fit_picture, pixels_sha256, read_picture
from contract.precision import Precision
from contract.score_page import folded, heading, number, paragraph, table, write_page
from contract.timing import speed_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.report.compared import Compared
    from calibration.report.layers import LayerNoise
    from contract.bundle import Bundle
    from contract.data_folder import DataFolder

__all__ = ["write_report"]

_LAYER_FRAMES = 16


def write_report(
    path: Path, bundle: Bundle, control: DataFolder, added: Mapping[str, bytes] | None = None
) -> None:
    """Compare the bundle's precisions on the control set and write one self-contained page.

    Args:
        path: of the HTML file.
        bundle: with FP32 and INT8 graphs, card and ranges.
        control: pictures and masks that the bundle was not calibrated on.
        added: files of a calibration that does not stand in the bundle yet, or never will.

    Raises:
        ConfigError: when the bundle lacks a graph.
        InputError: when the control set, card or ranges cannot be used.
        GasedgeError: when the disk refuses.
    """
    geometry, old = bundle.manifest.input, opset17_graph_name(Precision.INT8)
    graphs: dict[Precision, bytes] = {
        p: bundle.graph(p) for p in bundle.precisions if p is not Precision.INT8
    }
    fp32 = bundle.graph(Precision.FP32)
    if added is None:
        int8 = bundle.graph(Precision.INT8)
        # the graph that the CPU runtimes take, as `open_backend` does
        graphs[Precision.INT8] = bundle.read(old) if old in bundle.manifest.files else int8
        card, ranges_seen = card_of(bundle), ranges_of(bundle)
    else:
        int8 = added[graph_name(Precision.INT8)]
        graphs[Precision.INT8] = added.get(old, int8)
        card = Card.model_validate_json(added[CARD])
        ranges_seen = RangeTable.model_validate_json(added[RANGES])
    compared = compare(graphs, geometry, control)
    chosen = [control.names[at] for at in spread(len(control.names), _LAYER_FRAMES)]
    frames = (fit_picture(read_picture(control.images[name]), geometry) for name in chosen)
    layers, ranges = inside_int8(fp32, int8, frames, n_frames=len(chosen))
    machine = str(this_machine())
    write_page(
        path,
        f"What INT8 does to {bundle.manifest.model_id}",
        [
            *_head(card, control, compared, layers),
            *score_sections(compared),
            *size_sections(compared),
            *difference_sections(compared),
            *worst_sections(compared),
            *layer_sections(layers, len(chosen)),
            *range_sections(ranges, ranges_seen, len(chosen)),
            *time_sections(compared, machine),
            *_limits(compared),
        ],
    )


def _head(
    card: Card,
    control: DataFolder,
    compared: Compared,
    layers: Sequence[LayerNoise],
) -> list[str]:
    scores = {p: each.scores.classes[GAS].iou or 0.0 for p, each in compared.evaluations.items()}
    change = scores[Precision.INT8] - scores[Precision.FP32]
    int8 = compared.against_fp32[Precision.INT8]
    times = speed_up(compared.timings[Precision.INT8], compared.timings[Precision.FP32])
    rounded = [each for each in layers if each.int8 and each.noise.decibel is not None]
    weakest = min(rounded, key=lambda each: each.noise.decibel or 0.0, default=None)
    noise = (
        f" The noisiest of {len(rounded)} INT8 layers is {weakest.name} at "
        f"{decibel(weakest.noise.decibel)} dB."
        if weakest
        else ""
    )
    refused = [
        paragraph(
            f"REFUSED: the budget of {card.max_iou_drop:.4f} {GAS} IoU is not held. Below is "
            "the network with every layer in INT8 that may be; the bundle was left as it was."
        )
    ]
    return [
        *([] if holds(card.iou_drop, card.max_iou_drop) else refused),
        paragraph(
            f"INT8 changes {GAS} IoU by {change:+.4f} ({scores[Precision.FP32]:.4f} to "
            f"{scores[Precision.INT8]:.4f}) on {len(control)} control pictures, loses "
            f"{counted(len(int8.lost))} that FP32 finds and finds {len(int8.gained)} that FP32 "
            f"misses. {int8.share:.3%} of the pixels differ from FP32. On this machine's CPU it "
            f"is {times:.1f} times as fast as FP32.{noise}"
        ),
        *_calibrated(card),
        paragraph(
            f"Control set: {control.path.name}, {len(control)} pictures, "
            f"{_disjoint(card, control)}."
        ),
    ]


def _disjoint(card: Card, control: DataFolder) -> str:
    """Whether the page's pictures are other ones than the ranges came from."""
    calibrated = {each.sha256 for each in card.frames}
    pictures = (read_picture(control.images[name]) for name in control.names)
    shared = sum(pixels_sha256(each) in calibrated for each in pictures)
    if shared:
        return f"{shared} of them CALIBRATED ON, so what follows flatters INT8"
    return "none of them calibrated on"


def _calibrated(card: Card) -> list[str]:
    """How the INT8 graph came to be, in the words of its card."""
    mix, n_int8 = card.mix, card.convolutions_int8
    rows = [
        [
            each.name,
            each.reason,
            "-" if each.damage is None else f"{each.damage:.5f}",
            "-" if each.iou_drop_in_int8 is None else f"{each.iou_drop_in_int8:+.4f}",
        ]
        for each in card.layers
        if each.precision is not Precision.INT8
    ]
    tried = [
        [each.method, number(each.gas_iou, 4), f"{each.iou_drop:+.4f}"] for each in card.methods
    ]
    heads = ["convolution's output", "why", "damage alone in INT8", "set's loss if it went back"]
    return [
        paragraph(
            f"Calibrated {card.made_at} with {card.method} ranges from {mix.frames} frames, "
            f"{mix.with_gas} of them with gas or smoke, {mix.thin} with a thin plume; {n_int8} of "
            f"{len(card.layers)} convolutions run in INT8. Loss on the card: {card.iou_drop:+.4f} "
            f"{GAS} IoU, the budget {card.max_iou_drop:.4f}."
        ),
        folded(
            f"Ranges tried, and the {len(rows)} convolutions in FP16",
            [
                table(["ranges", f"{GAS} IoU", "loss"], tried),
                table(heads, rows),
                *_attempts(card),
            ],
        ),
    ]


def _attempts(card: Card) -> list[str]:
    """The search for layers in FP16, where there was one."""
    if not card.attempts:
        return []
    harm = sorted(
        (each for each in card.layers if each.damage is not None),
        key=lambda each: -(each.damage or 0),
    )
    return [
        paragraph("Sets of layers that were tried in FP16 to hold the budget:"),
        table(
            ["in FP16", "loss"],
            [[", ".join(e.fp16) or "none", f"{e.iou_drop:+.4f}"] for e in card.attempts],
        ),
        paragraph("Layers by their damage, each alone in INT8:"),
        table(
            ["convolution's output", "runs in", "mean change of the gas probability"],
            [[e.name, str(e.precision).upper(), f"{e.damage:.5f}"] for e in harm],
        ),
    ]


def _limits(compared: Compared) -> list[str]:
    lines = [
        (
            "INT8 here is the same graph that TensorRT is given, run by the CPU runtime: its "
            "integer arithmetic is the same, what lies between may round in another order."
        ),
        "The known-answer test on the device is what shows that an engine gives these masks.",
    ]
    if Precision.FP16 in compared.evaluations:
        lines.insert(
            0,
            "FP16 on a CPU holds its weights in FP16 and computes in FP32: its figures here are "
            "the least that FP16 costs. A GPU rounds activations to FP16 too.",
        )
    return [heading("What this page cannot say"), *(paragraph(line) for line in lines)]
