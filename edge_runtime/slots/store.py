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
import stat
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from contract.atomic import PARTIAL, move_file, sync_path, sync_tree, write_text
from contract.bundle import BUNDLE_SUFFIX, is_bundle
from contract.errors import (
    ConfigError,
    GasedgeError,
    InputError,
    IntegrityError,
    NotKeptError,
)
from edge_runtime.slots.state import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_runtime.config import ModelConfig
    from edge_runtime.slots.state import SlotFacts, SlotName

__all__ = ["SLOTS", "SlotStore", "is_slots_folder", "now_utc", "placed", "settled"]

SLOTS = "slots.json"
_BUNDLE = "model.gasedge"
_LOCK, _APPLY_LOCK = ".slots.lock", ".apply.lock"
_LOCK_S = 10.0  # a change takes milliseconds, but who makes it may be stopped
_LOOK_S = 0.02


def is_slots_folder(path: Path) -> bool:
    """Whether `[model] bundle` names a folder of slots and no bundle; it may still be empty."""
    try:
        return (path / SLOTS).is_file() or (path.suffix != BUNDLE_SUFFIX and not is_bundle(path))
    except OSError:  # what cannot be looked into goes by its name
        return path.suffix != BUNDLE_SUFFIX


def now_utc() -> str:
    """The wall clock as the history holds it."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")


def settled(config: ModelConfig) -> ModelConfig:
    """`config` with what the active slot holds, where it names a folder of slots.

    Raises:
        InputError: when no model was ever applied.
        IntegrityError: when `slots.json` is broken.
        NotKeptError: when it cannot be read.
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
            IntegrityError: when `slots.json` is broken.
            NotKeptError: when it cannot be read.
        """
        path = self.folder / SLOTS
        try:
            return Slots.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Slots()
        except OSError as error:  # it may be as good as ever
            raise NotKeptError(
                f"{path}: cannot be read ({error.strerror}); see to the disk, and to whose it is"
            ) from error
        except ValidationError as error:
            raise IntegrityError(
                f"{path}: is broken ({error.errors()[0]['msg']}); put it aside and apply the model "
                "anew"
            ) from error

    def change(self, rule: Callable[[Slots], Slots]) -> Slots:
        """Apply a rule of `Slots` and keep what comes of it, one process at a time.

        Raises:
            IntegrityError: when `slots.json` is broken.
            NotKeptError: when the disk does not take it; then nothing has changed.
            GasedgeError: what the rule raises.
        """
        path = self.folder / SLOTS
        with self._changing():
            before = self.read()
            after = rule(before)
            try:
                if after != before:
                    write_text(path, after.model_dump_json(indent=1) + "\n")
            except OSError as error:  # what the disk alone does not explain
                raise NotKeptError(f"{path}: cannot be written ({error.strerror})") from error
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

    def require_own(self) -> None:
        """See that the folder, or where it will be made, is this user's, and no other may write.

        The daemon could not read what another user puts there.

        Raises:
            ConfigError: when it is not.
        """
        place = self.folder
        try:
            while not place.exists() and place != place.parent:
                place = place.parent
            found = place.stat()
        except OSError as error:
            raise ConfigError(
                f"{place}: cannot be looked at ({error.strerror}); run this as the user that runs "
                "gasedge run"
            ) from error
        is_there = place == self.folder
        if found.st_uid != os.getuid() and (is_there or os.getuid() == 0):
            owner = _name(found.st_uid)
            raise ConfigError(
                f"{place}: belongs to user {owner}; run this as that user: sudo -u {owner} gasedge "
                "apply"
            )
        if is_there and found.st_mode & 0o022:
            raise ConfigError(
                f"{place}: others may write there ({stat.filemode(found.st_mode)}), and could "
                f"choose the model: chmod go-w {place}"
            )

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Be the only one who applies a model here.

        Raises:
            ConfigError: when another one is at it, or as `require_own` says.
        """
        self.require_own()
        try:
            if not self.folder.exists():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_path(self.folder.parent)
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be made ({error.strerror})") from error
        busy = f"{self.folder}: another gasedge apply is at work here; wait for it, or end it"
        with self._locked(_APPLY_LOCK, ConfigError(busy), 0.0):
            self._clean_up()
            yield

    def _clean_up(self) -> None:
        """Delete what one that was cut off has left."""
        for left in self.folder.glob(f"{PARTIAL}*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        with self._changing():  # a daemon may be writing its own
            for left in self.folder.glob(f"{PARTIAL}*"):
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
        place = self.folder / slot
        try:
            sync_tree(partial)  # a disk that does not take it costs no way back
            self.change(lambda slots: slots.emptied(slot))  # before its folder goes
            if place.exists():
                shutil.rmtree(place)
            move_file(partial, place)
        except OSError as error:
            raise NotKeptError(f"{place}: cannot be replaced ({error.strerror})") from error
        self.change(lambda slots: slots.staged(slot, facts, who=who, at=now_utc()))
        return slot

    def _changing(self) -> contextlib.AbstractContextManager[None]:
        """Hold `slots.json`; whoever does not let go of it must not keep frames waiting."""
        busy = f"{self.folder / SLOTS}: another process has held it for {_LOCK_S:g} s"
        return self._locked(_LOCK, NotKeptError(busy), _LOCK_S)

    @contextlib.contextmanager
    def _locked(self, name: str, busy: GasedgeError, patience_s: float) -> Iterator[None]:
        path = self.folder / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotKeptError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            until_s = time.monotonic() + patience_s
            while not _is_ours(handle, path):
                if time.monotonic() >= until_s:
                    raise busy
                time.sleep(_LOOK_S)
            yield
        finally:
            os.close(handle)


def placed(config: ModelConfig, folder: Path, engine: str | None) -> ModelConfig:
    """`config` with the bundle and the engine that stand in `folder`."""
    places = {
        "bundle": folder / _BUNDLE,
        "engine": None if engine is None else folder / engine,
    }
    return config.model_copy(update=places)


def _is_ours(handle: int, path: Path) -> bool:
    """Whether this process holds the lock now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NotKeptError(f"{path}: cannot be locked ({error.strerror})") from error
    return True


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
