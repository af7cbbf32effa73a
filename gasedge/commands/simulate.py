"""`gasedge simulate`: pictures, masks and a clip of simulated scenes."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


def _size(_ctx: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{text} is not a size such as 320x256")
    return int(width), int(height)


@click.command("simulate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["gas", "smoke"]), required=True)
@click.option("--scenes", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--frames", type=click.IntRange(1), default=4, show_default=True, help="Pictures of a scene."
)
@click.option("--size", callback=_size, default="256x256", show_default=True, metavar="WxH")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--grey/--colour", default=None, help="Default: grey for gas, as in infrared; smoke in colour."
)
@click.option(
    "--plumes",
    type=click.FloatRange(0, 1),
    default=0.83,
    show_default=True,
    help="Share of scenes with gas or smoke.",
)
@click.option(
    "--distractors",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of scenes with steam, clouds, fog, people, vehicles, dirt, shaking or flicker.",
)
@click.option(
    "--large", is_flag=True, help="Only large, dense leaks, which a network learns in minutes."
)
@click.option("--density", is_flag=True, help="Also write density/: column density, 16 bits.")
@click.option(
    "--clip",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write one scene as a video (.mp4 or .avi).",
)
@click.option("--clip-seconds", type=click.FloatRange(min=1), default=20, show_default=True)
@click.option(
    "--clip-onset",
    type=click.FloatRange(min=0),
    default=6,
    show_default=True,
    help="Seconds before the plume begins.",
)
def command(  # noqa: PLR0913, PLR0917 - one argument an option
    out: Path,
    kind: str,
    scenes: int,
    frames: int,
    size: tuple[int, int],
    seed: int,
    grey: bool | None,
    plumes: float,
    distractors: float,
    large: bool,
    density: bool,
    clip: Path | None,
    clip_seconds: float,
    clip_onset: float,
) -> int:
    """Write simulated pictures with true masks into the new folder OUT.

    OUT gets images/, masks/ (class indices), labels.toml and scenes.csv. The clip shows a scene
    that is not in OUT; its plume begins at --clip-onset, and whether it is distracted from is left
    to --distractors. The same options give the same bytes.
    """
    from train.simulate import Simulation, clip_codec, write_clip, write_data_folder

    if clip is not None:
        clip_codec(clip)  # refused before anything is written
    width, height = size
    simulation = Simulation(kind, width, height, seed, grey, plumes, distractors, large)
    write_data_folder(out, simulation, scenes=scenes, frames=frames, density=density)
    if clip is not None:
        write_clip(clip, simulation, seconds=clip_seconds, onset_s=clip_onset)
    click.echo(f"{out}: {scenes * frames} pictures" + (f"; {clip}" if clip else ""))
    return 0
