"""`gasedge replay`: a clip through the whole daemon on a virtual clock, into a transcript."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.config import DaemonConfig

__all__ = ["command"]


@click.command("replay")
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="[CAMERA=]CLIP",
    help="File, folder or sim: instead of a camera; CAMERA names it where there are several. "
    "[default: what cameras of CONFIG have as their source, if it is one of these]",
)
@click.option(
    "--transcript",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON lines: one for each change that the plant sees.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An earlier transcript; exit code 3 and the differences when states or times differ.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(0, 60_000),
    default=0,
    show_default=True,
    help="Virtual time from a picture to its mask.",
)
@click.option(
    "--values-every",
    type=click.FloatRange(0, 3600),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Write figures this often at most; 0 writes every change. States are always written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    config: Path,
    sources: tuple[str, ...],
    transcript: Path,
    against: Path | None,
    latency_ms: float,
    values_every: float,
    *,
    as_json: bool,
) -> int:
    """Replay clips through the whole daemon of CONFIG.toml as fast as this machine can.

    Nothing listens, and no clock is read: the same clip gives the same transcript, byte for byte.
    Cameras that are given no clip are left out.
    """
    from tqdm import tqdm

    from contract.errors import ConfigError
    from edge_runtime.config import load_daemon_config
    from edge_runtime.replay.comparison import differences, read_transcript
    from edge_runtime.replay.replay import replay

    daemon = load_daemon_config(config)
    clips = _clips(sources, daemon)
    if against is not None:
        read_transcript(against)  # a wrong one is told before the work
        if transcript.exists() and against.samefile(transcript):
            raise ConfigError(f"{against}: would be overwritten; give --transcript another name")
    with tqdm(unit="s", desc="replay", delay=2, disable=None, file=sys.stderr) as bar:

        def progress(at_s: float) -> None:
            bar.update(round(at_s - bar.n, 1))

        done = replay(
            daemon,
            clips,
            transcript,
            latency_s=latency_ms / 1000,
            values_every_s=values_every,
            progress=progress,
        )
    differ = [] if against is None else differences(against, transcript)
    rate = done.frames / done.took_s if done.took_s else 0.0
    if as_json:
        figures = {**asdict(done), "frames_per_s": rate, "differences": differ}
        click.echo(json.dumps(figures))
    else:
        click.echo(
            f"{transcript}: {done.changes} changes in {done.virtual_s:.1f} s; {done.frames} frames "
            f"in {done.took_s:.1f} s, {rate:.1f} a second, "
            f"{done.virtual_s / max(done.took_s, 1e-9):.1f} times real time"
        )
        for line in differ:
            click.echo(line)
        if against is not None and not differ:
            click.echo(f"the same states at the same times as {against}")
    return 3 if differ else 0


def _clips(sources: tuple[str, ...], config: DaemonConfig) -> dict[str, str]:
    """Source by camera, of `[CAMERA=]CLIP`."""
    from contract.errors import ConfigError
    from edge_runtime.sources.uri import parse_source

    names = [camera.name for camera in config.camera]
    clips: dict[str, str] = {}
    for text in sources:
        name, given, source = text.partition("=")
        if not given or name not in names:
            name, source = names[0], text
            if len(names) > 1:
                raise ConfigError(
                    f"--source {text}: of which camera? Give CAMERA={text}; CAMERA is one of "
                    f"{', '.join(names)}"
                )
        if name in clips:
            raise ConfigError(f"--source {text}: camera {name} has a clip already")
        try:
            parse_source(source)
        except ValueError as error:
            raise ConfigError(f"--source {text}: {error}") from error
        clips[name] = source
    return clips
