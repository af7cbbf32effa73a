"""`gasedge drill`: a made-up leak in the running daemon, followed to every interface."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

__all__ = ["command"]


@click.command("drill")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--camera", required=True, help="Name of the camera, as in CONFIG.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=300),
    default=60.0,
    show_default=True,
    help="End at the latest after so long.",
)
@click.option("--user", default="", help="Log in as USER where an interface asks for it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(config: Path, camera: str, seconds: float, user: str, *, as_json: bool) -> int:
    """Lay a made-up leak beside what a camera of the running daemon sees, and follow it.

    Run it on the device, as the user that runs `gasedge run CONFIG.toml`. The leak carries the bits
    TEST_SOURCE and DRILL everywhere, and data quality is not good while it lasts. It ends when
    every interface has shown it, when this command ends, or at the first sign of real gas. The
    password of --user is asked for, or read from GASEDGE_PASSWORD. The exit code is 3 when an
    interface did not show the leak, or showed it without its mark.
    """
    from edge_runtime.config import load_daemon_config
    from gasedge.drill_report import hold_drill, text_of_report
    from gasedge.drill_watchers import Login

    password = ""
    if user:
        password = os.environ.get("GASEDGE_PASSWORD") or click.prompt(
            "Password", hide_input=True, err=True
        )
    report = hold_drill(load_daemon_config(config), camera, seconds, Login(user, password))
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else text_of_report(report))
    return 0 if report.is_passed else 3
