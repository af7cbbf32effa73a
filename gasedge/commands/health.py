"""`gasedge health`: whether the daemon that runs here makes progress, by its exit code."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("health")
def command() -> int:
    """Say whether every process of this user's running daemon serves: exit code 0, else 3.

    For the health check of a container; of the service of systemd root may ask. Whether cameras see
    is another matter: ask /readyz of the page, or the tags.
    """
    import time

    from edge_runtime.device.health import health

    found = health(time.monotonic())
    click.echo(found.text)
    return 0 if found.ok else 3
