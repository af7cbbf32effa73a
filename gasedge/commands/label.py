"""`gasedge label`: masks and weights for a clip of a still camera."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.bundle import Bundle, is_bundle
from contract.errors import ConfigError
from contract.precision import Precision

if TYPE_CHECKING:
    from contract.segmenter import Segmenter

__all__ = ["command"]


@click.command("label")
@click.argument("clip", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Folder with a YOLO file of boxes for each frame. [default: the plume is looked for]",
)
@click.option(
    "--gas",
    type=click.Choice(["auto", "brighter", "darker", "either"]),
    default="auto",
    show_default=True,
    help="How gas differs from what is behind it.",
)
@click.option(
    "--machines",
    type=click.Path(path_type=Path),
    help="Mask drawn by hand, once for the view. [default: structure is looked for]",
)
@click.option("--no-machines", is_flag=True, help="Leave machines unlabelled.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Take every so many-th frame of a video.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="A checkpoint or bundle whose gas score is weighed against the change (self-training).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913, PLR0917 - one argument an option
    clip: Path,
    out: Path,
    boxes: Path | None,
    gas: str,
    machines: Path | None,
    no_machines: bool,
    every: int,
    model: Path | None,
    as_json: bool,
) -> int:
    """Label CLIP, a video or a folder of frames of a still camera, into the new folder OUT.

    Gas is what changes as a plume does, inside the boxes if there are any; machines are what
    stands out of the still picture. OUT is a data folder: images/, masks/, weights/ that say how
    sure each pixel is, labels.toml, and index.csv with a group for each run of frames.
    """
    from contract.packages import need

    need("cv2", extra="train")
    if machines is not None and no_machines:
        raise ConfigError("--machines and --no-machines contradict each other; give one of them")
    from train.labelling.label_clip import label_clip
    from train.labelling.network_opinion import NetworkOpinion

    with nullcontext() if model is None else _opened(model) as segmenter:
        done = label_clip(
            clip,
            out,
            boxes=boxes,
            sign=gas,
            machines=machines,
            no_machines=no_machines,
            every=every,
            opinion=None if segmenter is None else NetworkOpinion(segmenter),
        )
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(done)}))
        return 0
    click.echo(
        f"{out}: {done.frames} frames in {done.groups} run(s) of {done.views} view(s); gas in "
        f"{done.frames_with_gas}; pixels: gas {done.gas_share:.2%}, machine "
        f"{done.machine_share:.2%}, ignored {done.ignored_share:.2%}; mean weight "
        f"{done.mean_weight:.2f}"
    )
    return 0


def _opened(model: Path) -> Segmenter:
    if is_bundle(model):
        from edge_runtime.backends.open import open_backend

        return open_backend(Bundle.open(model), Precision.FP32)
    from contract.packages import need

    need("torch", extra="train")
    from train.networks.torch_segmenter import TorchSegmenter

    return TorchSegmenter.from_checkpoint(model)
