"""Which models this device lets run: the keys of its configuration, what is revoked, how old.

A signature says that a bundle was right once. The rollback counter keeps an attacker, or a mistake,
from bringing back one that is known to be bad: the highest that ran here is kept on the device, and
likewise what the lists of revocations have said.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError, IntegrityError
from contract.plain_file import read_plain
from contract.signing import Revoked, Trust
from contract.signing_key import read_public_keys
from contract.signing_revocation import SeenRevocations, read_revocations
from edge_runtime.slots.store import SlotStore, is_slots_folder

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.config import DaemonConfig

__all__ = [
    "COUNTER",
    "NO_KEYS",
    "SEEN",
    "keep_counter",
    "kept_counter",
    "seen_revocations",
    "trust_of",
]

_log = logging.getLogger(__name__)

COUNTER = "model-counter.json"
SEEN = "revocations-seen.json"  # its own file: an earlier release reads the counter's as it was
NO_KEYS = (
    "trust.keys: names no public key, and a daemon runs signed models only; sign yours (gasedge "
    'bundle keygen, then sign) and write [trust] keys = ["signing.pub"]'
)
_LARGEST = 1 << 10
_LARGEST_SEEN = 1 << 20


class _Counter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rollback_counter: int = Field(ge=0)


def trust_of(config: DaemonConfig, *, keep: bool = False) -> Trust:
    """What the configuration and this device's memory let run, read anew.

    Args:
        config: of the daemon.
        keep: whether to remember the list of what is revoked, as the daemon itself does.

    Raises:
        ConfigError: when no key is configured or one cannot be read.
        IntegrityError: when the list of what is revoked, or the kept counter, or the slots' file
            cannot be believed.
    """
    if not config.trust.keys:
        raise ConfigError(NO_KEYS)
    keys = read_public_keys(config.trust.keys)
    listed, state_dir = config.trust.revoked, config.plant.state_dir
    revoked = Revoked() if listed is None else _listed(listed, keys, state_dir, keep=keep)
    least = kept_counter(state_dir)
    if is_slots_folder(config.model.bundle):
        least = max(least, SlotStore(config.model.bundle).read().least_counter)
    return Trust(keys, revoked, least)


def _listed(path: Path, keys: tuple[bytes, ...], folder: Path | None, *, keep: bool) -> Revoked:
    """What is revoked by the list at `path`, if it is no older than what `folder` remembers."""
    seen = seen_revocations(folder)
    listed = read_revocations(path, keys, seen)
    if keep and folder is not None and (after := seen.after(listed)) != seen:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(folder / SEEN, after.model_dump_json())
        except (GasedgeError, OSError) as error:
            _log.error("issue %d of what is revoked is not remembered: %s", after.issue, error)
    return listed.revoked


def seen_revocations(folder: Path | None) -> SeenRevocations:
    """What is remembered of the lists that were believed here.

    Raises:
        IntegrityError: when the file is there and is not what was written.
    """
    data = _kept(folder, SEEN, _LARGEST_SEEN)
    if folder is None or data is None:
        return SeenRevocations()
    try:
        return SeenRevocations.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"{folder / SEEN}: is damaged, so that nobody can say which lists are too old; see "
            "that the list of [trust] revoked is the latest, and remove this file"
        ) from error


def kept_counter(folder: Path | None) -> int:
    """The highest rollback counter that ran here; 0 where nothing is kept.

    Raises:
        IntegrityError: when the file is there and is not what was written.
    """
    data = _kept(folder, COUNTER, _LARGEST)
    if folder is None or data is None:
        return 0
    try:
        return _Counter.model_validate_json(data).rollback_counter
    except ValidationError as error:
        raise IntegrityError(
            f"{folder / COUNTER}: is damaged, so that nobody can say which models are too old; "
            'write {"rollback_counter": N} into it, N being that of the model that ran here'
        ) from error


def _kept(folder: Path | None, name: str, most: int) -> bytes | None:
    """A file of this device's memory; None where there is none."""
    if folder is None:
        return None
    path = folder / name
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error.strerror}); let the daemon's user enter {folder}"
        ) from error
    return read_plain(path, most=most)


def keep_counter(folder: Path | None, counter: int) -> None:
    """Remember the rollback counter of a model that runs, where it is higher than before.

    A disk that does not take it keeps no model from running: it is said and tried again next time.
    """
    if folder is None or counter == 0:
        return
    try:
        if counter > kept_counter(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(folder / COUNTER, _Counter(rollback_counter=counter).model_dump_json())
            _log.info("models with a rollback counter below %d run here no more", counter)
    except (GasedgeError, OSError) as error:
        _log.error("the rollback counter %d is not kept: %s", counter, error)
