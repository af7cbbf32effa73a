"""Killed at any instant, the slots hold a model that may run and, where one was, a way back."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.errors import ConfigError, IntegrityError, NotKeptError
from contract.signing import trusted_bundle
from edge_runtime.slots.state import Condition
from edge_runtime.slots.store import SlotStore, is_slots_folder
from tests.edge_runtime.slots.conftest import AT, facts_of, partial_of
from tests.signing import TRUST

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link"}


def killed_after(changes: int, work: Callable[[], None]) -> bool:
    """Do `work` in a child that kills itself before its n-th change of the disk.

    Every renaming, deleting, making and opening for writing counts. Tells whether it was killed.
    """
    child = os.fork()
    if child == 0:  # nothing of pytest may run in here any more
        left = [changes]

        def hook(event: str, given: tuple) -> None:
            if event == "open":
                writes = isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
                if not writes:
                    return
            elif event not in _CHANGES:
                return
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        except BaseException:  # noqa: BLE001 - told by the exit code
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, f"the work itself failed after {changes} changes"
    return False


def boots(store: SlotStore) -> str:
    """The model that a start would run, after everything that a start looks at was checked."""
    slots = store.read()
    assert slots.active is not None
    assert slots.running is not None
    for name in filter(None, (slots.active, slots.other)):
        bundle = trusted_bundle(store.bundle(name), TRUST)
        bundle.verify()
        assert bundle.manifest_sha256 == slots.slots[name].manifest_sha256
    numbers = [event.n for event in slots.history]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return slots.running.model_id


def everywhere(store: SlotStore, tmp_path: Path, work: Callable[[SlotStore], None]) -> list[str]:
    """Kill `work` at its first change, its second and so on; which model each leaves running."""
    found = []
    for changes in range(1000):
        copy = SlotStore(tmp_path / "cut")
        shutil.rmtree(copy.folder, ignore_errors=True)
        shutil.copytree(store.folder, copy.folder)
        was_killed = killed_after(changes, partial(work, copy))
        found.append(boots(copy))
        with copy.applying():  # the next apply finds it usable, and cleans up
            assert not list(copy.folder.glob(".partial-*"))
        if not was_killed:
            return found
    pytest.fail("1000 changes were not enough")


def test_a_power_cut_while_a_model_is_taken_in_and_switched_to(store, bundles, tmp_path):
    third = bundles[2]

    def work(cut: SlotStore) -> None:
        slot = cut.take_in(partial_of(cut, third), facts_of(third), who="test")
        cut.change(lambda s: s.switched(slot, who="test", at=AT))

    found = everywhere(store, tmp_path, work)
    assert len(found) > 20  # every file and folder of the old slot goes, and two files come
    assert found[0] == "two"
    assert found[-1] == "three"
    assert found == sorted(found, key=["two", "three"].index)


def test_a_power_cut_during_a_rollback(store, tmp_path):
    found = everywhere(
        store, tmp_path, lambda cut: cut.change(lambda s: s.rolled_back("why", at=AT))
    )
    assert (found[0], found[-1]) == ("two", "one")


def test_a_power_cut_while_a_start_on_trial_is_counted_or_confirmed(store, bundles, tmp_path):
    third = bundles[2]
    slot = store.take_in(partial_of(store, third), facts_of(third), who="test")
    store.change(lambda s: s.switched(slot, who="test", at=AT))

    def work(cut: SlotStore) -> None:
        cut.change(lambda s: s.begun(most=3, at=AT))
        cut.change(lambda s: s.confirmed(third.manifest_sha256, at=AT))

    assert set(everywhere(store, tmp_path, work)) == {"three"}


def test_a_disk_that_does_not_take_the_new_model_costs_no_way_back(store, bundles, monkeypatch):
    third = bundles[2]
    finished = partial_of(store, third)
    sync = os.fsync

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().is_relative_to(finished):
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotKeptError, match="No space left"):
        store.take_in(finished, facts_of(third), who="test")
    assert boots(store) == "two"
    assert store.read().other == "slot-a"


def test_who_holds_the_slots_and_is_stopped_keeps_nobody_waiting_for_ever(store, monkeypatch):
    monkeypatch.setattr("edge_runtime.slots.store._LOCK_S", 0.1)
    with (store.folder / ".slots.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotKeptError, match="another process has held it"):
            store.change(lambda s: s.rolled_back("why", at=AT))
    assert store.change(lambda s: s.rolled_back("why", at=AT)).active == "slot-a"


def test_what_cannot_be_read_is_not_called_broken(store):
    path = store.folder / "slots.json"
    good = path.read_bytes()
    path.unlink()
    path.mkdir()
    with pytest.raises(NotKeptError, match="cannot be read"):
        store.read()
    assert is_slots_folder(store.folder)
    path.rmdir()
    path.write_bytes(good[:-10])
    with pytest.raises(IntegrityError, match="is broken"):
        store.read()


def test_a_folder_where_others_may_write_takes_no_model(store):
    store.folder.chmod(0o775)
    with pytest.raises(ConfigError, match="others may write there"), store.applying():
        pytest.fail("was entered")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_root_makes_no_folder_that_the_daemon_cannot_use(tmp_path):
    os.chown(tmp_path, 12345, -1)
    with (
        pytest.raises(ConfigError, match="sudo -u #12345"),
        SlotStore(tmp_path / "models").applying(),
    ):
        pytest.fail("was entered")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_leaves_what_was(store, bundles, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    third = bundles[2]
    finished = partial_of(store, third)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotKeptError):
        store.take_in(finished, facts_of(third), who="test")
    assert boots(store) == "two"
    assert store.read().running.condition is Condition.GOOD
