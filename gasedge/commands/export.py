"""`gasedge export`: a checkpoint becomes a bundle."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The bundle, NAME.gasedge."
)
@click.option(
    "--golden",
    type=click.Path(path_type=Path),
    help="Folder of pictures to choose the known-answer frames from; default: simulated scenes.",
)
def command(checkpoint: Path, out: Path, golden: Path | None) -> None:
    """Export CHECKPOINT as a bundle with FP32 and FP16 graphs and golden frames.

    Refuses (exit code 3) when a graph and its network disagree.
    """
    from contract.packages import need

    for package in ("torch", "cv2"):
        need(package, extra="train,export")
    from contract.pictures import pictures_in, read_picture
    from export.bundle import bundle_from_checkpoint

    frames = None if golden is None else [read_picture(path) for path in pictures_in(golden)]
    bundle = bundle_from_checkpoint(checkpoint, out, golden_frames=frames)
    names = ", ".join(str(precision) for precision in bundle.precisions)
    click.echo(f"{bundle.path}: {names}, {len(bundle.manifest.golden)} golden frames")
