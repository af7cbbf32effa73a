"""`gasedge run`: the daemon, from sources to tags."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.config import DaemonConfig

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
    from edge_runtime.overlay_video import VIDEO_SUFFIXES
    from edge_runtime.supervisor import supervise

    if overlay is not None and overlay.suffix.lower() not in VIDEO_SUFFIXES:
        raise ConfigError(f"{overlay}: a video's name ends in {', '.join(VIDEO_SUFFIXES)}")
    return supervise(
        config.absolute(),
        check=_check,
        duration_s=duration,
        until_end=until_end,
        video=overlay.absolute() if overlay is not None else None,
        log_level=logging.getLogger().getEffectiveLevel(),
    )


def _check(settings: DaemonConfig) -> None:
    from edge_runtime.config_check import check_files

    check_files(settings)
    _require_own(settings.plant.state_dir)


def _require_own(state_dir: Path | None) -> None:
    """Refuse root where a service of another user keeps its state: it could not go on with it."""
    import pwd

    from contract.errors import ConfigError

    if os.geteuid() != 0 or state_dir is None or not state_dir.exists():
        return
    owner = state_dir.stat().st_uid
    if owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise ConfigError(
            f"{state_dir}: belongs to user {name}, who could not use what root writes there; run "
            f"this as that user: sudo -u {name} gasedge run"
        )
