"""What happens to models stands in the audit journal, once each, whoever was running then."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.audit import Chain
from contract.errors import NotKeptError
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.database import Database
from edge_runtime.slots.audit import SlotAudit
from tests.edge_runtime.slots.conftest import AT, facts_of, partial_of

if TYPE_CHECKING:
    from edge_runtime.slots.store import SlotStore


@pytest.fixture
def open_desk(tmp_path: Path):
    """Open the desk of a device as each of its starts does."""
    opened = []

    def open_it() -> Desk:
        for each in opened:
            each.close()
        database = Database(tmp_path / "state.sqlite")
        opened.append(database)
        return Desk([WatchedCamera("north")], database)

    yield open_it
    for each in opened:
        each.close()


def comments(desk: Desk) -> list[str]:
    records = [r for r in desk.journal.after(0, 1000)[1] if r.subject.startswith("model")]
    return [record.comment.partition(" at ")[0] for record in records]


def look(audit: SlotAudit, times: int = 1) -> None:
    for _ in range(times):
        audit.look(look.now_s)
        look.now_s += 2


look.now_s = 0.0


def test_events_of_a_time_without_a_plant_process_are_written_once(store: SlotStore, open_desk):
    desk = open_desk()
    look(SlotAudit(desk, store.folder), times=3)
    before = ["staged", "switched", "confirmed"] * 2
    assert comments(desk) == before
    store.change(lambda s: s.refused("four", "too old", at=AT, who="eva"))
    again = open_desk()  # the process was started anew meanwhile
    look(SlotAudit(again, store.folder), times=3)
    assert comments(again) == [*before, "refused"]
    *_, last = again.journal.after(0, 1000)[1]
    assert (last.who, last.new, last.result) == ("eva", "four", "too old")
    chain = Chain()
    for record in again.journal.after(0, 1000)[1]:
        chain.take(record)
    assert not chain.fault


def test_an_event_that_the_disk_did_not_take_is_written_later(
    store: SlotStore, open_desk, monkeypatch
):
    desk = open_desk()
    audit = SlotAudit(desk, store.folder)

    def full(*_: object) -> None:
        raise NotKeptError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.journal, "append", full)
        look(audit, times=2)
    assert comments(desk) == []
    look(audit, times=2)
    assert comments(desk) == ["staged", "switched", "confirmed"] * 2


def test_a_folder_of_slots_that_was_begun_anew_is_written_from_its_begin(
    store: SlotStore, open_desk
):
    desk = open_desk()
    look(SlotAudit(desk, store.folder))
    (store.folder / "slots.json").unlink()
    for _ in range(8):  # more events than the journal has of the folder before
        store.change(lambda s: s.refused("five", "unsigned", at="2026-02-02", who="eva"))
    look(SlotAudit(desk, store.folder))
    assert comments(desk)[6:] == ["refused"] * 8


def test_a_model_that_went_back_is_told_until_another_is_applied(
    store: SlotStore, bundles, open_desk
):
    desk = open_desk()
    audit = SlotAudit(desk, store.folder)
    look(audit)
    assert maintenance(desk) == ""
    store.change(lambda s: s.rolled_back("3 starts in a row did not last", at=AT))
    look(audit)
    assert "two" in maintenance(desk)
    assert "3 starts in a row" in maintenance(desk)
    store.take_in(partial_of(store, bundles[2]), facts_of(bundles[2]), who="eva")
    look(audit)
    assert maintenance(desk) == ""


def test_slots_that_cannot_be_read_are_told(store: SlotStore, open_desk):
    desk = open_desk()
    (store.folder / "slots.json").write_text("{")
    look(SlotAudit(desk, store.folder))
    assert "slots.json: is broken" in maintenance(desk)


def test_slots_that_could_not_be_read_for_a_while_are_told_for_that_while(
    store: SlotStore, open_desk, monkeypatch
):
    desk = open_desk()
    audit = SlotAudit(desk, store.folder)

    def bad_disk(path: Path, **_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    for name in ("stat", "read_bytes"):
        with monkeypatch.context() as broken:
            broken.setattr(Path, name, bad_disk)
            store.folder.joinpath("slots.json").touch()
            look(audit)
        assert "cannot be read (Input/output error)" in maintenance(desk)
        look(audit)
        assert maintenance(desk) == ""


def maintenance(desk: Desk) -> str:
    """Text of the device's alarm."""
    desk.tick()
    (alarm,) = [each for each in desk.alarms() if each.camera == ""]
    return alarm.message if alarm.active else ""
