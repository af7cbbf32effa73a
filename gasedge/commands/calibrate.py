"""`gasedge calibrate`: a bundle gets its INT8 graph from real frames, or a reason why not."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--frames",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of smoke or gas pictures as the camera will see them, at least 16; masks/ and an "
    "index.csv beside them help to choose.",
)
@click.option(
    "--frames-list",
    type=click.Path(path_type=Path),
    help="Take exactly these stems, or --count of them.",
)
@click.option(
    "--control",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with images/ and masks/ of other scenes, to score INT8 on.",
)
@click.option("--control-list", type=click.Path(path_type=Path), help="Take only these stems.")
@click.option(
    "--apart",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another set that no calibration or control frame may stand in, as the test set: a "
    "folder, or a list of stems of the control folder. May be given several times.",
)
@click.option(
    "--one-camera",
    is_flag=True,
    help="All pictures are of one fixed camera: look for equal pictures only, not for equal views.",
)
@click.option("--accept-mix", is_flag=True, help="Take frames that show no thin plumes, too.")
@click.option(
    "--method",
    type=click.Choice(["percentile", "max", "mse", "entropy", "auto"]),
    help="Where the range of an activation ends; auto tries all and keeps the best on the control "
    "set. [default: percentile]",
)
@click.option(
    "--stem",
    type=click.Choice(["fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="Precision of the first convolution.",
)
@click.option(
    "--head",
    type=click.Choice(["fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="Precision of the last convolution.",
)
@click.option(
    "--concat-scale",
    type=click.Choice(["shared", "separate"]),
    default="shared",
    show_default=True,
    help="One scale for all that is joined by a Concat, or one more for each part.",
)
@click.option(
    "--max-iou-drop",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help="How much gas-smoke IoU INT8 may lose against FP32; the layers that harm most stay in "
    "FP16 until that holds.",
)
@click.option(
    "--count",
    type=click.IntRange(min=16),
    help="How many frames to choose. [default: 256 of a folder, all of a list]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which frames of more.")
@click.option(
    "--opset17/--no-opset17",
    default=True,
    show_default=True,
    help="Also write the graph that TensorRT 8.5 and OpenVINO before 2026 read.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Also write a page, even of an INT8 that is refused: FP32, FP16 and INT8 side by side, "
    "noise by layer, ranges, time.",
)
def command(  # noqa: PLR0913 - one argument per option
    *,
    bundle: Path,
    frames: Path,
    frames_list: Path | None,
    control: Path,
    control_list: Path | None,
    apart: tuple[Path, ...],
    one_camera: bool,
    accept_mix: bool,
    method: str | None,
    stem: str,
    head: str,
    concat_scale: str,
    max_iou_drop: float,
    count: int | None,
    seed: int,
    opset17: bool,
    report: Path | None,
) -> None:
    """Add the INT8 graph to BUNDLE, with a calibration card.

    Refuses (exit code 1) frames that are missing, too few, repeated, random, blank, without thin
    plumes or also in another set, and (exit code 3) an INT8 network that loses more than the
    budget however its layers are placed. A bundle that is refused stays as it was.
    """
    from contract.packages import need

    for package in ("onnx", "onnxruntime", "cv2"):
        need(package, extra="export")
    from calibration.calibrate import CalibrationRequest, calibrate
    from calibration.placement import Choice
    from calibration.range_methods import DEFAULT_METHOD
    from contract.bundle import Bundle
    from contract.data_folder import read_stems
    from contract.errors import ConfigError

    if report and report.is_dir():
        raise ConfigError(f"{report}: is a folder; --report names the page to write")
    request = CalibrationRequest(
        frames=frames,
        control=control,
        frames_only=read_stems(frames_list) if frames_list else None,
        control_only=read_stems(control_list) if control_list else None,
        apart=apart,
        method=method or DEFAULT_METHOD,
        choice=Choice(stem=stem == "int8", head=head == "int8", concat=concat_scale),
        max_iou_drop=max_iou_drop,
        count=count,
        seed=seed,
        accept_mix=accept_mix,
        one_camera=one_camera,
        opset17=opset17,
        report=report,
    )
    made, card = calibrate(Bundle.open(bundle), request)
    kept = card.kept_for_budget
    click.echo(
        f"{made.path}: int8, {card.convolutions_int8} convolutions from {len(card.frames)} frames "
        f"({card.mix.with_gas} with gas or smoke, {card.mix.thin} thin), ranges by {card.method}, "
        f"gas-smoke IoU {-card.iou_drop:+.4f} against FP32 on {len(card.control)} control images "
        f"(at most -{card.max_iou_drop:.4f})"
        + (f"; in FP16 for that: {', '.join(each.name for each in kept)}" if kept else "")
    )
