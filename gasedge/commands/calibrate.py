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
    help="Folder of smoke or gas pictures as the camera will see them, at least 16.",
)
@click.option(
    "--control",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with images/ and masks/ of other scenes, to score INT8 on.",
)
@click.option("--frames-list", type=click.Path(path_type=Path), help="Take only these stems.")
@click.option("--control-list", type=click.Path(path_type=Path), help="Take only these stems.")
@click.option(
    "--method",
    type=click.Choice(["max", "percentile"]),
    help="Largest magnitude seen, or the one that covers 99.99 %. [default: percentile]",
)
@click.option(
    "--max-iou-drop",
    type=click.FloatRange(0, 1),
    default=0.005,
    show_default=True,
    help="How much gas-smoke IoU INT8 may lose against FP32.",
)
@click.option("--count", type=click.IntRange(min=16), default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Which frames of more.")
@click.option(
    "--opset17/--no-opset17",
    default=True,
    show_default=True,
    help="Also write the graph that TensorRT 8.5 and OpenVINO before 2026 read.",
)
def command(  # noqa: PLR0913 - one argument per option
    *,
    bundle: Path,
    frames: Path,
    control: Path,
    frames_list: Path | None,
    control_list: Path | None,
    method: str | None,
    max_iou_drop: float,
    count: int,
    seed: int,
    opset17: bool,
) -> None:
    """Add the INT8 graph to BUNDLE, with a calibration card.

    Refuses (exit code 1) frames that are missing, too few, repeated, random, blank or also in the
    control set, and (exit code 3) an INT8 network that loses more than the budget. A bundle that
    is refused stays as it was.
    """
    from contract.packages import need

    for package in ("onnx", "onnxruntime", "cv2"):
        need(package, extra="export")
    from calibration.calibrate import CalibrationRequest, calibrate
    from calibration.ranges import DEFAULT_METHOD
    from contract.bundle import Bundle
    from contract.data_folder import read_stems

    request = CalibrationRequest(
        frames=frames,
        control=control,
        frames_only=read_stems(frames_list) if frames_list else None,
        control_only=read_stems(control_list) if control_list else None,
        method=method or DEFAULT_METHOD,
        max_iou_drop=max_iou_drop,
        count=count,
        seed=seed,
        opset17=opset17,
    )
    made, card = calibrate(Bundle.open(bundle), request)
    click.echo(
        f"{made.path}: int8, {card.convolutions_int8} convolutions from {len(card.frames)} frames "
        f"({card.mix.with_gas} with gas or smoke), gas-smoke IoU "
        f"{-card.iou_drop:+.4f} against FP32 on {len(card.control)} control images "
        f"(at most -{card.max_iou_drop:.4f})"
    )
