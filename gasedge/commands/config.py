"""`gasedge config check`: what is wrong with a configuration, by line."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.group("config")
def command() -> None:
    """Look at configuration files."""


@command.command("check")
@click.argument("config", type=click.Path(path_type=Path))
def check(config: Path) -> None:
    """Check CONFIG.toml, a daemon's or a training's, and what it names."""
    from contract.config import read_toml
    from contract.errors import ConfigError

    tables = read_toml(config).keys()
    if tables & {"camera", "plant", "leak", "health"}:
        from contract.signing import trusted_bundle
        from edge_runtime.config import load_daemon_config
        from edge_runtime.config_check import check_files
        from edge_runtime.model_trust import trust_of
        from edge_runtime.slots.store import settled

        daemon = load_daemon_config(config)
        check_files(daemon)
        bundle = trusted_bundle(settled(daemon.model).bundle, trust_of(daemon))
        bundle.verify()
        cameras = ", ".join(camera.name for camera in daemon.camera)
        model = f"model {bundle.manifest.model_id} signed by key {bundle.signed_by}"
        click.echo(f"{config}: OK, a daemon's configuration with camera {cameras}; {model}")
    elif tables & {"data", "simulated", "learning", "network", "augment", "split"}:
        from train.config import load_train_config
        from train.sweep_config import load_sweep_config

        if "sweep" in tables:
            load_sweep_config(config)
        else:
            load_train_config(config)
        click.echo(
            f"{config}: OK, a {'sweep' if 'sweep' in tables else 'training'}'s configuration"
        )
    else:
        raise ConfigError(
            f"{config}: is no gasedge configuration: a daemon's has [model] and [[camera]], "
            "a training's has [[data]] or [[simulated]]"
        )
