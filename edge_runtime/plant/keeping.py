"""What the plant process keeps: alarms, audit and outbox, in one file of `[plant] state_dir`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from contract.audit import Category, Entry
from contract.errors import NotKeptError
from edge_runtime.alarms.desk import Desk
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox
from edge_runtime.plant.evidence_told import EvidenceTold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_runtime.alarms.desk import WatchedCamera
    from edge_runtime.outbox import Stream
    from edge_runtime.plant.config import PlantConfig

__all__ = ["Keeping", "keeping"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the plant process keeps."""

    desk: Desk
    outbox: Outbox | None  # None where nobody would be given anything
    evidence: EvidenceTold


@contextlib.contextmanager
def keeping(
    config: PlantConfig,
    cameras: Sequence[WatchedCamera],
    *,
    config_sha256: str,
    consumers: dict[str, tuple[Stream, ...]],
) -> Iterator[Keeping]:
    """Open it for as long as the process serves, and note start, end and a changed configuration.

    A disk that refuses does not keep the plant process from starting: alarms are raised and shown
    all the same, and what people ask for is not done.

    Args:
        config: of the plant.
        cameras: whose alarms there are.
        config_sha256: of the whole configuration.
        consumers: of the outbox, and what each of them gets.

    Raises:
        ConfigError: when two alarms would have one id.
    """
    with contextlib.ExitStack() as stack:
        if config.state_dir is None:
            _log.warning(
                "alarms and audit are kept in memory only and end with this process: "
                "set state_dir in [plant]"
            )
            database = Database(None)
        else:
            database = Database.as_far_as_possible(config.state_dir / FILE)
        stack.enter_context(database)
        outbox = _outbox(database, config, consumers)
        desk = Desk(
            cameras,
            database,
            figures=outbox.figures if outbox else None,
            config_sha256=config_sha256,
        )
        version = importlib.metadata.version("gasedge")
        desk.note(Entry(Category.SYSTEM, "plant process", new=f"started, gasedge {version}"))
        before = desk.journal.fact("config")
        if before != config_sha256:
            changed = Entry(Category.CONFIGURATION, "daemon", old=before, new=config_sha256)
            if desk.audit(changed):
                with contextlib.suppress(NotKeptError):  # then it is told once more
                    desk.journal.remember("config", config_sha256)
        try:
            yield Keeping(desk, outbox, EvidenceTold(desk))
        finally:
            desk.note(Entry(Category.SYSTEM, "plant process", new="ended"))
            desk.hand_over()


def _outbox(
    database: Database, config: PlantConfig, consumers: dict[str, tuple[Stream, ...]]
) -> Outbox | None:
    if not consumers:
        return None
    made = partial(
        Outbox,
        database,
        max_bytes=config.outbox_mb << 20,
        max_age_s=config.outbox_hours * 3600,
        consumers=consumers,
    )
    try:
        return made()
    except NotKeptError as error:  # what comes waits in memory until the disk takes it
        database.refuse(error)
        return made()
