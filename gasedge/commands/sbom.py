"""`gasedge sbom`: what is installed here, with versions, hashes and licences, as CycloneDX."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import click

__all__ = ["command"]


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it there. [default: standard output]",
)
def command(config: Path | None, out: Path | None) -> None:
    """List what is installed on this device, as CycloneDX 1.6 JSON.

    gasedge and every Python package that it led to, the interpreter, OpenSSL, SQLite, the system,
    driver and L4T. With CONFIG, a daemon's, also the model that it runs: its files by hash and the
    key that signed it. The system's own packages are for `dpkg-query -W` to list. The environment
    variable SOURCE_DATE_EPOCH sets the time that stands in it.
    """
    from contract.atomic import write_text
    from contract.machine import this_machine
    from gasedge.sbom.document import bill_of_materials
    from gasedge.sbom.installed import installed_for
    from gasedge.sbom.machine_parts import machine_parts

    others: list[dict[str, Any]] = machine_parts(this_machine())
    if config is not None:
        from edge_runtime.config import load_daemon_config
        from gasedge.sbom.model_part import model_part

        others.append(model_part(load_daemon_config(config)))
    installed = installed_for("gasedge")
    inside = {"opencv-python-headless": _inside_opencv()}
    document = bill_of_materials(installed, others, at=_now(), inside=inside)
    text = json.dumps(document, indent=1) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)
        click.echo(f"{out}: {len(document['components'])} components")


def _inside_opencv() -> dict[str, str]:
    from contract.errors import MissingPackageError
    from contract.packages import need
    from gasedge.sbom.machine_parts import bundled_in_opencv

    try:
        return bundled_in_opencv(need("cv2", extra="cpu").getBuildInformation())
    except MissingPackageError:
        return {}


def _now() -> str:
    from contract.errors import ConfigError

    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        at = dt.datetime.now(dt.timezone.utc) if given is None else _from_epoch(given)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"SOURCE_DATE_EPOCH is {given!r}; seconds since 1970 are needed"
        ) from error
    return at.isoformat(timespec="seconds")


def _from_epoch(seconds: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), dt.timezone.utc)
