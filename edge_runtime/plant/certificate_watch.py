"""Ask for maintenance before the certificates of Modbus over TLS and of the page end.

Nobody looks at a certificate until clients refuse it. OPC UA's is watched by its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from typing import TYPE_CHECKING

from contract.packages import need
from edge_runtime.plant.disk_look import DiskLook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edge_runtime.alarms.desk import Desk
    from edge_runtime.plant.config import PlantConfig

__all__ = ["certificates_watched", "ending_soon"]

_log = logging.getLogger(__name__)

_WARN = dt.timedelta(days=30)
_LOOK_S = 3600.0
_AGAIN_S = 60.0  # after a disk that did not answer


def ending_soon(path: Path, now: dt.datetime, remedy: str) -> str | None:
    """What to tell of a PEM certificate that ends within thirty days, or cannot be read.

    Args:
        path: of the certificate, with or without its chain: the first counts.
        now: UTC.
        remedy: what to do about it.
    """
    x509 = need("cryptography.x509", extra="scada")
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except Exception as error:  # noqa: BLE001 - a parser has many; none may end the watch
        return f"{path}: the certificate cannot be read ({error}): {remedy}"
    if ends - now > _WARN:
        return None
    if ends <= now:
        return f"{path}: the certificate has ended on {ends.date()}: {remedy}"
    return f"{path}: the certificate ends in {(ends - now).days} days: {remedy}"


@contextlib.asynccontextmanager
async def certificates_watched(config: PlantConfig, desk: Desk) -> AsyncIterator[None]:
    """Look at the certificates now and each hour, for as long as the context lasts."""
    told = _certificates(config)
    if not told:
        yield
        return
    need("cryptography.x509", extra="scada")  # rather now than in an hour
    task = asyncio.create_task(_watch(told, desk), name="gasedge-certificates")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _certificates(config: PlantConfig) -> dict[str, tuple[Path, str]]:
    """Path and remedy of each, by the reason for maintenance."""
    found: dict[str, tuple[Path, str]] = {}
    tls = config.modbus.tls if config.modbus is not None else None
    if tls is not None:
        found["modbus certificate"] = (
            tls.certificate,
            "put a new one there with its key; it counts from the next connection on",
        )
    page = config.page
    if page is not None and page.is_encrypted:
        if page.certificate is not None:
            found["page certificate"] = (
                page.certificate,
                "put a new one there with its key and start gasedge anew",
            )
        elif config.state_dir is not None:
            found["page certificate"] = (
                config.state_dir / "page.pem",
                "start gasedge anew, which makes another with the same key",
            )
    return found


async def _watch(certificates: dict[str, tuple[Path, str]], desk: Desk) -> None:
    before: dict[str, str | None] = {}

    def look() -> dict[str, str | None]:
        now = dt.datetime.now(dt.timezone.utc)
        return {
            reason: ending_soon(path, now, remedy)
            for reason, (path, remedy) in certificates.items()
        }

    disk = DiskLook(look)
    while True:
        seen = await disk.now()
        for reason, text in (seen or {}).items():
            if text is not None and before.get(reason) is None:
                _log.warning("%s", text)
            before[reason] = text
            desk.maintain(reason, text)
        await asyncio.sleep(_AGAIN_S if seen is None else _LOOK_S)
