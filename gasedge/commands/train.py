"""`gasedge train`: from pictures and masks to a checkpoint."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

__all__ = ["command"]


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run's folder. Default: runs/<name of CONFIG>.",
)
@click.option(
    "--quantize",
    type=click.Path(path_type=Path),
    help="Calibrated bundle of CONFIG's initial weights: fine-tune them with its INT8 rounding.",
)
def command(config: Path, out: Path | None, quantize: Path | None) -> int:
    """Train the network of CONFIG and leave RUN/checkpoint.pt, scores.json and report.html.

    A run that was stopped, by Ctrl-C, a kill or a power cut, goes on from its last finished epoch
    when the same command is given again. Under torchrun, `torchrun --nproc-per-node 2 -m gasedge
    train CONFIG`, several processes share each batch and give what one process gives.
    """
    if int(os.environ.get("RANK", "0")):
        # under torchrun the first process speaks for all
        logging.getLogger().setLevel(logging.WARNING)
        os.environ.setdefault("TQDM_DISABLE", "1")
    from train.config import load_train_config

    settings = load_train_config(config)
    if quantize:
        settings = settings.model_copy(update={"quantize": str(quantize.absolute())})
    from train.learning import train  # torch comes in here, after CONFIG is known to be right

    result = train(settings, out or Path("runs") / config.stem)
    for each in result.scores:
        scores = each.scores
        gas = scores.classes["gas-smoke"].iou
        click.echo(
            f"{each.data} {each.split}: {scores.n_images} images, "
            f"mean IoU {_shown(scores.mean_iou)}, image mean IoU {_shown(scores.image_mean_iou)}, "
            f"gas-smoke IoU {_shown(gas)}"
        )
    click.echo(str(result.checkpoint))
    return 0


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
