"""`gasedge run`: the daemon, from sources to tags."""

from __future__ import annotations

import logging
from pathlib import Path

import click

__all__ = ["command"]


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--duration", type=click.FloatRange(min=0), help="Stop after so many seconds.")
@click.option("--until-end", is_flag=True, help="Stop when every file or folder came to its end.")
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    help="Keep the first camera's overlay as a video (.mp4, .webm or .avi).",
)
def command(config: Path, duration: float | None, until_end: bool, overlay: Path | None) -> int:
    """Segment every camera of CONFIG.toml and serve its tags until stopped."""
    from contract.errors import ConfigError
    from edge_runtime.config import load_daemon_config
    from edge_runtime.config_check import check_files
    from edge_runtime.overlay_video import VIDEO_SUFFIXES
    from edge_runtime.supervisor import supervise

    check_files(load_daemon_config(config))
    if overlay is not None and overlay.suffix.lower() not in VIDEO_SUFFIXES:
        raise ConfigError(f"{overlay}: a video's name ends in {', '.join(VIDEO_SUFFIXES)}")
    return supervise(
        config.absolute(),
        duration_s=duration,
        until_end=until_end,
        video=overlay.absolute() if overlay is not None else None,
        log_level=logging.getLogger().getEffectiveLevel(),
    )
