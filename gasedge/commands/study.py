"""`gasedge study`: many trainings that differ in one thing, and what the difference makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["command"]

_Path = click.Path(path_type=Path)


def _common(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="The study's folder; the same command goes on where it was stopped.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print study.json."),
    ):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Train many times, change one thing, and say what it makes: tables, intervals, a page.

    Each training is a run folder in OUT/runs. What is done is not done again.
    """


@command.command()
@click.argument("config", type=_Path)
@_common
def activations(config: Path, seeds: int, out: Path, *, as_json: bool) -> None:
    """Compare linear, sigmoid and softmax as CONFIG's final activation."""
    from train.config import load_train_config

    settings = load_train_config(config)
    from train.study.activations import study_activations

    _tell(study_activations(settings, seeds, out), out, as_json=as_json)


@command.command()
@click.argument("config", type=_Path)
@click.option(
    "--gas",
    multiple=True,
    metavar="NAME",
    help="Data set of CONFIG that is the gas; may be given again. Default: the simulated gas. "
    "The other data sets are the smoke.",
)
@click.option(
    "--gas-frames",
    default="10,50,250",
    show_default=True,
    metavar="N,N,...",
    help="Labelled gas frames to learn from.",
)
@_common
def transfer(
    config: Path, gas: tuple[str, ...], gas_frames: str, seeds: int, out: Path, *, as_json: bool
) -> None:
    """Draw the learning curve over few gas frames, with and without learning smoke before."""
    try:
        counts = [int(each) for each in gas_frames.split(",")]
    except ValueError as error:
        raise ConfigError(f"--gas-frames {gas_frames}: expected numbers as 10,50,250") from error
    if min(counts) < 1:
        raise ConfigError(f"--gas-frames {gas_frames}: every number must be 1 or more")
    from train.config import load_train_config

    settings = load_train_config(config)
    from train.study.transfer import study_transfer

    _tell(study_transfer(settings, gas, counts, seeds, out), out, as_json=as_json)


@command.command()
@click.argument("first", type=_Path)
@click.argument("second", type=_Path)
@_common
def compare(first: Path, second: Path, seeds: int, out: Path, *, as_json: bool) -> None:
    """Train FIRST and SECOND with the same seeds and splits; give the difference, 95 %."""
    from train.config import load_train_config

    pair = [(each.stem, load_train_config(each)) for each in (first, second)]
    from train.study.compare import study_compare

    _tell(study_compare(pair[0], pair[1], seeds, out), out, as_json=as_json)


def _tell(result: str, out: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo((out / "study.json").read_text(encoding="utf-8"), nl=False)
        return
    click.echo(result)
    click.echo(str(out / "report.html"))
