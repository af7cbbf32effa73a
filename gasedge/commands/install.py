"""`gasedge install`: let systemd start the daemon, watch it and fence it in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.config import DaemonConfig
    from gasedge.systemd_unit import Service

__all__ = ["command"]

_NAME = r"[a-z_][a-z0-9_-]{0,30}"
# ProtectHome= and PrivateTmp= hide what lies there
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named to refuse them
# folders of every program: what is given to the daemon's user must lie below one of them
_EVERYBODYS = (
    "/*",
    "/etc/*.d",
    "/etc/opt",
    "/etc/ssl",
    "/etc/systemd",
    "/usr/*",
    "/usr/*/*",
    "/var/*",
)
_SHARED_GROUPS = ("video", "render")


@click.command("install")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--systemd", "for_systemd", is_flag=True, required=True, help="Write its files.")
@click.option("--user", default="gasedge", show_default=True, help="Who the daemon runs as.")
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="CIDR",
    help="A network of cameras or plant, as 10.20.0.0/24; with it no other can be reached.",
)
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), help="Write below this folder."
)
@click.option("--dry-run", is_flag=True, help="Print the files and write none.")
def command(
    config: Path,
    for_systemd: bool,
    user: str,
    networks: tuple[str, ...],
    root: Path | None,
    dry_run: bool,
) -> None:
    """Write unit, journal, user and folder files for the daemon of CONFIG.toml.

    Nothing is started: the commands that do it are printed.
    """
    import re
    import shlex

    from contract.atomic import write_text
    from contract.errors import ConfigError
    from edge_runtime.config import load_daemon_config
    from edge_runtime.config_check import check_files
    from gasedge.systemd_unit import journal_text, sysusers_text, tmpfiles_text, unit_text

    del for_systemd  # the one way so far
    if not re.fullmatch(_NAME, user):
        raise ConfigError(f"--user {user}: a user's name is a-z, 0-9, _ and -")
    config = config.absolute()
    settings = load_daemon_config(config)
    if root is None:
        check_files(settings)
    service = _service(settings, config, user, _checked(networks), root)
    files = {
        "/etc/systemd/system/gasedge.service": unit_text(service),
        "/etc/systemd/journald@gasedge.conf": journal_text(),
        "/etc/sysusers.d/gasedge.conf": sysusers_text(user),
        "/etc/tmpfiles.d/gasedge.conf": tmpfiles_text(service),
    }
    for name, text in files.items():
        path = (root or Path("/")).absolute() / name.lstrip("/")
        if dry_run:
            click.echo(f"# {path}\n{text}")
        else:
            write_text(path, text)
            click.echo(f"{path}")
    click.echo("then run:")
    for line in (
        "systemd-sysusers",
        "systemd-tmpfiles --create",
        f"chown -R {user}: {shlex.quote(str(_on_device(config, root).parent))}",
        "systemctl daemon-reload",
        "systemctl enable --now gasedge",
    ):
        click.echo(f"  sudo {line}")
    click.echo("and read the log with:\n  sudo journalctl --namespace gasedge -f")


def _service(
    settings: DaemonConfig, config: Path, user: str, networks: list[str], root: Path | None
) -> Service:
    import grp

    from contract.errors import ConfigError
    from edge_runtime.sources.uri import parse_source
    from gasedge.systemd_unit import Service

    writes = sorted({_on_device(each, root) for each in _written(settings)})
    if len(writes) > 1:  # a folder's folders go with it
        writes = [e for e in writes if not any(o != e and e.is_relative_to(o) for o in writes)]
    path, python = _on_device(config, root), Path(sys.executable)
    named = [("CONFIG", path), *(("a folder", each) for each in writes)]
    if root is None:  # what is prepared here for another machine runs with that machine's own
        named.append(("python", python))
    for what, each in named:
        if any(each.is_relative_to(hidden) for hidden in _HIDDEN):
            raise ConfigError(
                f"{each}: {what} lies where the service cannot see it; use /etc/gasedge, "
                "/opt/gasedge and /var/lib/gasedge"
            )
    for each in (path.parent, *writes):
        if each == Path("/") or any(each.match(shared) for shared in _EVERYBODYS):
            raise ConfigError(
                f"{each}: is not the daemon's alone, and its user is to own it, for CONFIG lies or "
                "is to be written there; use /etc/gasedge and /var/lib/gasedge"
            )
    video = any(parse_source(each.source).scheme in ("v4l2", "csi") for each in settings.camera)
    gpu = settings.model.backend == "tensorrt" or settings.model.engine is not None
    gpu = gpu or (settings.model.backend == "auto" and Path("/dev/nvmap").exists())
    known = {each.gr_name for each in grp.getgrall()}
    return Service(
        user=user,
        program=[str(python), "-m", "gasedge", "run", str(path)],
        writes=writes,
        low_ports=any(port < 1024 for port in _ports(settings)),
        gpu=gpu,
        video=video,
        groups=[each for each in _SHARED_GROUPS if (gpu or video) and each in known],
        networks=networks,
    )


def _written(settings: DaemonConfig) -> Iterator[Path]:
    from edge_runtime.slots.store import is_slots_folder

    plant, model = settings.plant, settings.model
    if plant.state_dir is not None:
        yield plant.state_dir
    if plant.opcua is not None and plant.opcua.security != "none":
        yield plant.opcua.state_dir
    if plant.evidence is not None:
        yield plant.evidence.folder
    if is_slots_folder(model.bundle):
        yield model.bundle
    if model.engine is not None:  # built anew beside the old one after an update of the driver
        yield model.engine.parent


def _ports(settings: DaemonConfig) -> Iterator[int]:
    plant = settings.plant
    tables = (plant.opcua, plant.modbus, plant.modbus and plant.modbus.tls, plant.page)
    for table in tables:
        if table is not None and table.port:
            yield table.port


def _checked(networks: tuple[str, ...]) -> list[str]:
    import ipaddress

    from contract.errors import ConfigError

    try:
        return [str(ipaddress.ip_network(each)) for each in networks]
    except ValueError as error:
        raise ConfigError(f"--network: {error}; give it as 10.20.0.0/24") from error


def _on_device(path: Path, root: Path | None) -> Path:
    """A path as it will be once `root` is the device's own root."""
    path = Path(os.path.normpath(path))
    if root is not None:
        below = Path(os.path.normpath(root.absolute()))
        return Path("/") / path.relative_to(below) if path.is_relative_to(below) else path
    return path
