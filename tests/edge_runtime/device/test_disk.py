"""A disk that hangs holds up nobody and is told; one that refuses has answered."""

from __future__ import annotations

import asyncio
import threading

import pytest

from contract.errors import NotKeptError
from contract.tags import HealthCode
from edge_runtime import database as database_file
from edge_runtime.database import Database
from edge_runtime.device.config import DeviceConfig
from edge_runtime.device.disk_probe import DiskProbe, DiskWord
from edge_runtime.device.health import mark_progress
from edge_runtime.device.reading import Reading
from edge_runtime.plant import device_told
from edge_runtime.plant.config import PlantConfig
from edge_runtime.plant.device_told import DeviceTold
from tests.edge_runtime.alarms.conftest import OneDesk

SECOND = 1_000_000_000


@pytest.fixture
def stuck():
    """A disk that answers when it is let go."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_disk_that_answers_says_how_much_room_it_has(tmp_path):
    word = DiskProbe(tmp_path / "not" / "yet").word(5.0)
    assert word.answers
    assert word.free_bytes > 0


def test_a_disk_that_hangs_is_asked_once_until_it_answers(tmp_path, stuck):
    asked = []

    def ask(folder):
        asked.append(folder)
        stuck.wait(10)
        return 7

    probe = DiskProbe(tmp_path, ask)
    assert [probe.word(0.02).answers for _ in range(3)] == [False] * 3
    assert len(asked) == 1
    stuck.set()
    assert probe.word(5.0) == DiskWord(answers=True, free_bytes=7)


def told(disk_word, tmp_path, **plant):
    one = OneDesk(Database(tmp_path / "plant.sqlite"))
    device = DeviceTold(one.desk, DeviceConfig(), PlantConfig(state_dir=tmp_path, **plant))
    reading = Reading(0, 1_800_000_000 * SECOND, synchronised=True, disks={tmp_path: disk_word})
    device.take(reading)
    return one


def test_a_hanging_disk_raises_the_maintenance_alarm_and_is_touched_no_more(tmp_path):
    one = told(DiskWord(answers=False, free_bytes=None), tmp_path)
    one.look(11)
    alarm = one.alarm("device.maintenance")
    assert alarm.active
    assert f"{tmp_path}: the disk does not answer" in alarm.message
    assert HealthCode.NOT_KEPT in one.desk.own_word("yard").warnings
    with pytest.raises(NotKeptError):
        one.database.rows("SELECT 1")
    one.database.close()


def test_a_disk_that_hangs_once_more_is_touched_no_more(tmp_path):
    with Database(tmp_path / "plant.sqlite") as database:
        one = OneDesk(database)
        device = DeviceTold(one.desk, DeviceConfig(), PlantConfig(state_dir=tmp_path))

        def take(*, answers):
            disks = {tmp_path: DiskWord(answers=answers, free_bytes=1 << 30)}
            device.take(Reading(0, 1_800_000_000 * SECOND, synchronised=True, disks=disks))

        take(answers=False)
        take(answers=True)
        database.take_up()  # and yet it refuses what waits
        database.refuse(NotKeptError("full"))
        take(answers=False)
        with pytest.raises(NotKeptError):
            database.rows("SELECT 1")


def test_little_room_raises_the_maintenance_alarm_and_stands_in_a_tag(tmp_path):
    one = told(DiskWord(answers=True, free_bytes=150 << 20), tmp_path)
    one.look(11)
    assert "150 MiB are free, less than 200" in one.alarm("device.maintenance").message
    assert one.desk.own_word("yard").values["Device/DiskFreeMb"] == 150
    one.database.close()


def test_a_plant_process_that_starts_on_a_hanging_disk_serves_all_the_same(
    tmp_path, stuck, monkeypatch
):
    monkeypatch.setattr(database_file, "_ANSWER_S", 0.05)
    monkeypatch.setattr(
        database_file, "DiskProbe", lambda folder: DiskProbe(folder, lambda _: stuck.wait(10))
    )
    with Database.as_far_as_possible(tmp_path / "plant.sqlite") as database:
        assert "does not answer" in str(database.refusal)
        assert not database.is_usable_again()
        stuck.set()
        assert database.is_usable_again()


def test_a_device_that_cannot_be_read_is_told_and_read_again(tmp_path, monkeypatch):
    one = OneDesk()
    one.desk.tell_device({"Device/TempC": 40.0})
    read = device_told.read_device
    broken = threading.Event()
    broken.set()

    def fails_at_first(*arguments):
        if broken.is_set():
            raise RuntimeError("can't start new thread")
        return read(*arguments)

    monkeypatch.setattr(device_told, "read_device", fails_at_first)
    monkeypatch.setattr(device_told, "_READ_S", 0.02)
    mark_progress(tmp_path, 1.0, "", ["recorder"])

    async def until(said, there):
        for _ in range(500):
            one.desk.tick()
            one.clock.wait(1.0)
            alarm = one.alarm("device.maintenance")
            if (alarm.active and said in alarm.message) == there:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(alarm)

    async def watched():
        device = DeviceTold(one.desk, DeviceConfig(), PlantConfig(), tmp_path, folder=tmp_path)
        with device.watched(asyncio.get_running_loop()):
            await until("cannot be watched (can't start new thread)", there=True)
            assert not one.desk.device
            broken.clear()
            await until("recorder: does not serve", there=True)
            await until("cannot be watched", there=False)
            assert one.desk.device
            mark_progress(tmp_path, 2.0, "")
            await until("recorder", there=False)

    asyncio.run(watched())


def test_a_step_of_the_clock_is_audited(tmp_path):
    one = OneDesk()
    device = DeviceTold(one.desk, DeviceConfig(), PlantConfig())
    start_ns = 1_800_000_000 * SECOND
    for at_s, off_s in ((0, 0), (2, 3600)):
        device.take(Reading(at_s * SECOND, start_ns + (at_s + off_s) * SECOND, synchronised=True))
    said = [each.comment for each in one.records() if each.subject == "clock"]
    assert said == ["the clock was stepped by +3600.0 s"]
    assert one.desk.own_word("yard").values["Device/ClockBad"]
