"""The folder of slots on disk: `slots.json` says what counts, whatever else stands there.

Each change is one atomic replacement of `slots.json`. A folder of a slot is replaced only while
`slots.json` says that the slot is empty, so that a power cut at any instant leaves either the old
state or the new one, and at worst a folder that nobody uses.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import pwd
import shutil
from typing import TYPE_CHECKING

from pydantic import ValidationError

from contract.atomic import write_text
from contract.bundle import BUNDLE_SUFFIX, is_bundle
from contract.errors import ConfigError, InputError, IntegrityError, NotKeptError
from edge_runtime.slots.state import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_runtime.config import ModelConfig
    from edge_runtime.slots.state import SlotFacts, SlotName

__all__ = ["PARTIAL", "SLOTS", "SlotStore", "is_slots_folder", "now_utc", "placed", "settled"]

SLOTS = "slots.json"
PARTIAL = ".partial-"
"""Begin of the names of folders that are not finished."""
_BUNDLE = "model.gasedge"
_LOCK, _APPLY_LOCK = ".slots.lock", ".apply.lock"


def is_slots_folder(path: Path) -> bool:
    """Whether `[model] bundle` names a folder of slots and no bundle; it may still be empty."""
    return (path / SLOTS).is_file() or (path.suffix != BUNDLE_SUFFIX and not is_bundle(path))


def now_utc() -> str:
    """The wall clock as the history holds it."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")


def settled(config: ModelConfig) -> ModelConfig:
    """`config` with what the active slot holds, where it names a folder of slots.

    Raises:
        InputError: when no model was ever applied.
        IntegrityError: when `slots.json` is broken.
    """
    if not is_slots_folder(config.bundle):
        return config
    store = SlotStore(config.bundle)
    slots = store.read()
    if slots.active is None or slots.running is None:
        raise InputError(
            f"{config.bundle}: holds no model yet; bring one: gasedge apply BUNDLE CONFIG"
        )
    return store.model(config, slots.active, slots.running.engine)


class SlotStore:
    """The slots of one device.

    Args:
        folder: as `[model] bundle` names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Slots:
        """What counts now; nothing where no model was ever applied.

        Raises:
            IntegrityError: when `slots.json` cannot be read.
        """
        path = self.folder / SLOTS
        try:
            return Slots.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Slots()
        except (OSError, ValidationError) as error:
            says = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
            raise IntegrityError(
                f"{path}: is broken ({says}); put it aside and apply the model anew"
            ) from error

    def change(self, rule: Callable[[Slots], Slots]) -> Slots:
        """Apply a rule of `Slots` and keep what comes of it, one process at a time.

        Raises:
            IntegrityError: when `slots.json` is broken.
            NotKeptError: when the disk does not take it; then nothing has changed.
            GasedgeError: what the rule raises.
        """
        with self._locked(_LOCK, fcntl.LOCK_EX):
            before = self.read()
            after = rule(before)
            if after != before:
                write_text(self.folder / SLOTS, after.model_dump_json(indent=1) + "\n")
            return after

    def seal_here(self) -> None:
        """Let this process, and those that it starts, seal engines with a secret in this folder.

        The daemon has systemd's folder for its state and a person who types has a home: an engine
        that one of them built must be one that was built here to the other.
        """
        os.environ["STATE_DIRECTORY"] = str(self.folder)

    def bundle(self, slot: str) -> Path:
        """The bundle's folder in a slot."""
        return self.folder / slot / _BUNDLE

    def model(self, config: ModelConfig, slot: str, facts_engine: str | None) -> ModelConfig:
        """`config` with the bundle and the engine of a slot."""
        return placed(config, self.folder / slot, facts_engine)

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Be the only one who applies a model here.

        Raises:
            ConfigError: when another one is at it, or the folder is another user's.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be made ({error.strerror})") from error
        owner = self.folder.stat().st_uid
        if owner != os.getuid():  # the daemon could not read what another user puts there
            raise ConfigError(
                f"{self.folder}: belongs to user {_name(owner)}; run this as that user: "
                f"sudo -u {_name(owner)} gasedge apply"
            )
        with self._locked(_APPLY_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._clean_up()
            yield

    def _clean_up(self) -> None:
        """Delete what one that was cut off has left."""
        with self._locked(_LOCK, fcntl.LOCK_EX):  # a daemon may be writing
            for left in self.folder.glob(f"{PARTIAL}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        left.unlink()

    def take_in(self, partial: Path, facts: SlotFacts, *, who: str) -> SlotName:
        """Make a finished folder, of a model that passed all tests, the one of the idle slot.

        Returns:
            The slot, which is staged now.

        Raises:
            NotKeptError: when the disk does not take it.
        """
        slot = self.read().idle
        self.change(lambda slots: slots.emptied(slot))  # before its folder goes
        place = self.folder / slot
        try:
            if place.exists():
                shutil.rmtree(place)
            _sync_tree(partial)
            partial.replace(place)
            _sync(str(self.folder))
        except OSError as error:
            raise NotKeptError(f"{place}: cannot be replaced ({error.strerror})") from error
        self.change(lambda slots: slots.staged(slot, facts, who=who, at=now_utc()))
        return slot

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        path = self.folder / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotKeptError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(handle, how)
            yield
        except BlockingIOError as error:
            raise ConfigError(f"{self.folder}: another gasedge apply is at work here") from error
        finally:
            os.close(handle)


def placed(config: ModelConfig, folder: Path, engine: str | None) -> ModelConfig:
    """`config` with the bundle and the engine that stand in `folder`."""
    places = {
        "bundle": folder / _BUNDLE,
        "engine": None if engine is None else folder / engine,
    }
    return config.model_copy(update=places)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _sync_tree(folder: Path) -> None:
    """See that the disk has every file below `folder`, and the names of them."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(os.path.join(root, name))  # noqa: PTH118 - as os.walk gives them
        _sync(root)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
