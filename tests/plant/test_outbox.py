"""The outbox: numbered without a gap, bounded, and gone only when everybody has acknowledged it."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from contract.alarms import Action, ActionKind, Outcome
from contract.errors import NotKeptError
from contract.roles import Role
from contract.tags import CameraSnapshot, HealthCode, Quality
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.alarms.machine import Now
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.plant.freshness import Published

EVENT, TELEMETRY, MASK = Stream
NOW = 1_800_000_000_000_000_000


def box(path, **given):
    settings = {"max_bytes": 1 << 20, "max_age_s": 3600, "consumers": ["events"]}
    return Outbox(path, **settings | given)


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


def numbers(outbox, stream=EVENT, consumer="events"):
    return [each.n for each in outbox.waiting(consumer, stream, 10_000)]


def test_records_come_in_their_order_with_their_times_until_they_are_delivered(path):
    with box(path) as outbox:
        for number in range(5):
            assert outbox.put(EVENT, bytes([number]), NOW + number) == number + 1
        first = outbox.waiting("events", EVENT, 2)
        assert [(each.n, each.at_ns, each.body) for each in first] == [
            (1, NOW, b"\0"),
            (2, NOW + 1, b"\1"),
        ]
        outbox.delivered("events", EVENT, 2)
        assert numbers(outbox) == [3, 4, 5]
        assert outbox.figures(NOW + 12_000_000_000).oldest_age_s == pytest.approx(12)
    with box(path) as outbox:
        assert numbers(outbox) == [3, 4, 5]
        assert outbox.put(EVENT, b"x", NOW) == 6


def test_a_record_goes_when_every_consumer_of_its_stream_has_it(path):
    consumers = {"events": (EVENT,), "historian": (EVENT, TELEMETRY)}
    with box(path, consumers=consumers) as outbox:
        outbox.put(EVENT, b"e", NOW)
        outbox.put(TELEMETRY, b"t", NOW)
        outbox.delivered("events", EVENT, 1)
        assert outbox.figures(NOW).depth == 2
        assert numbers(outbox, EVENT, "historian") == [1]
        outbox.put(EVENT, b"f", NOW)
        outbox.delivered("events", EVENT, 2)
        outbox.delivered("events", EVENT, 1)  # an old word changes nothing
        assert numbers(outbox) == []
        outbox.delivered("historian", EVENT, 2)
        outbox.delivered("historian", TELEMETRY, 1)
        assert outbox.figures(NOW) == type(outbox.figures(NOW))(0, 0.0, 0, 0)


def test_a_new_consumer_begins_now_and_one_that_is_gone_is_told_of(path, caplog):
    with box(path, consumers=["old"]) as outbox:
        outbox.put(EVENT, b"e", NOW)
    with box(path, consumers=["new"]) as outbox:
        assert "old is no longer configured: 1 records of stream EVENT" in caplog.text
        assert outbox.figures(NOW).depth == 0
        assert outbox.put(EVENT, b"f", NOW) == 2
        assert numbers(outbox, consumer="new") == [2]


def test_masks_go_first_then_telemetry_both_counted_and_events_never(path):
    with box(path, max_bytes=10_000) as outbox:
        for _ in range(4):
            outbox.put(MASK, bytes(1000), NOW)
            outbox.put(TELEMETRY, bytes(1000), NOW)
        for _ in range(3):
            outbox.put(EVENT, bytes(1000), NOW)
        assert numbers(outbox, MASK) == [2, 3, 4]
        assert numbers(outbox, TELEMETRY) == [1, 2, 3, 4]
        for _ in range(5):
            outbox.put(EVENT, bytes(1000), NOW)
        assert numbers(outbox, MASK) == []
        assert numbers(outbox, TELEMETRY) == [3, 4]
        for _ in range(20):
            outbox.put(EVENT, bytes(1000), NOW)
        figures = outbox.figures(NOW)
        assert (figures.depth, figures.dropped, figures.bytes) == (28, 8, 28_000)
        assert numbers(outbox) == list(range(1, 29))


def test_old_masks_and_telemetry_are_dropped_and_counted_old_events_are_not(path):
    with box(path, max_age_s=60) as outbox:
        for stream in Stream:
            outbox.put(stream, b"old", NOW)
        outbox.put(EVENT, b"new", NOW + 61_000_000_000)
        assert [numbers(outbox, stream) for stream in Stream] == [[1, 2], [], []]
        assert outbox.figures(NOW).dropped == 2


def test_what_is_dropped_is_never_given_its_number_again(path):
    with box(path, max_bytes=2500) as outbox:
        given = [outbox.put(MASK, bytes(1000), NOW) for _ in range(10)]
        assert given == list(range(1, 11))
        assert numbers(outbox, MASK) == [9, 10]


def test_a_batch_is_kept_whole_or_not_at_all(path):
    with box(path) as outbox:
        with outbox.batch():
            outbox.put(EVENT, b"a", NOW)
            outbox.put(EVENT, b"b", NOW)
        with pytest.raises(ValueError, match="stop"), outbox.batch():
            outbox.put(EVENT, b"c", NOW)
            raise ValueError("stop")
        assert numbers(outbox) == [1, 2]
        assert outbox.put(EVENT, b"d", NOW) == 3
        assert outbox.figures(NOW).bytes == 3


def test_threads_may_put_and_deliver_at_once(path):
    with box(path, consumers=["events", "never"]) as outbox:
        given: list[int] = []

        def put():
            given.extend(outbox.put(EVENT, b"x", NOW) for _ in range(50))

        def deliver():
            for _ in range(50):
                for each in outbox.waiting("events", EVENT, 3):
                    outbox.delivered("events", EVENT, each.n)

        threads = [threading.Thread(target=each) for each in (put, put, deliver)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(given) == list(range(1, 101))
        assert numbers(outbox, consumer="never") == list(range(1, 101))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own with 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", str(place)], capture_output=True
    )
    if not done or done.returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_gives_up_masks_then_tells_and_goes_on_when_there_is_room(small_disk):
    def fill(room):
        rubbish.unlink(missing_ok=True)
        with rubbish.open("wb") as file:
            free = shutil.disk_usage(small_disk).free
            file.write(bytes(max(0, free - room)))

    rubbish = small_disk / "rubbish"
    with box(small_disk / FILE, max_bytes=1 << 30) as outbox:
        for _ in range(100):
            outbox.put(MASK, bytes(5000), NOW)
        fill(0)
        kept = 0
        with pytest.raises(NotKeptError, match="full"):
            while True:
                outbox.put(EVENT, bytes(5000), NOW)
                kept += 1
        assert kept > 50  # the reserve and the room of the masks
        assert numbers(outbox) == list(range(1, kept + 1))
        assert outbox.figures(NOW).dropped > 0
        rubbish.unlink()
        assert outbox.put(EVENT, b"again", NOW) == kept + 1
    with box(small_disk / FILE, max_bytes=1 << 30) as outbox:
        assert numbers(outbox) == list(range(1, kept + 2))


def test_on_a_disk_without_any_room_alarms_are_told_and_actions_are_not_done(small_disk):
    values = {"Leak/State": 2, "Health/Code": 0, "Health/NE107": 0}
    leak = Published(CameraSnapshot("yard", 1, Quality.GOOD, 0, 0, values), heard=True)
    acknowledge = Action(ActionKind.ACKNOWLEDGE, "yard.leak", "operator1", Role.OPERATOR, "page")
    now = [Now(0.0, NOW)]
    rubbish = small_disk / "rubbish"
    (small_disk / "ballast").write_bytes(bytes(5 << 20))  # so that there is no second copy
    with Database(small_disk / FILE) as database:
        desk = Desk([WatchedCamera("yard")], database, clock=lambda: now[0])
        told = []
        desk.listen(told.append)
        Path(f"{small_disk / FILE}.reserve").unlink()
        with rubbish.open("wb") as file:
            file.write(bytes(shutil.disk_usage(small_disk).free))
        desk.look(leak)
        desk.look(leak)
        assert [each.state.name for each in told] == ["UNACK"]
        assert desk.act(acknowledge) is Outcome.NOT_KEPT
        assert desk.own_word("yard").warnings & HealthCode.NOT_KEPT
        assert desk.journal.after(0, 99)[1] == []
        rubbish.unlink()
        now[0] = Now(2.0, NOW + 2_000_000_000)
        desk.tick()
        assert desk.act(acknowledge) is Outcome.DONE
        assert not desk.own_word("yard").warnings & HealthCode.NOT_KEPT
        records = [(each.subject, each.at_ns) for each in desk.journal.after(0, 99)[1]]
        assert records[0] == ("yard.leak", NOW)  # written late, with the time it happened


def test_on_a_disk_that_was_full_at_the_start_alarms_are_known_again(small_disk):
    path = small_disk / FILE
    with Database(path) as database:
        database.keep(lambda: database.rows("INSERT INTO alarm VALUES ('a', '{}')"))
    with (small_disk / "rubbish").open("wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free))
    with Database.as_far_as_possible(path) as database:
        assert database.refusal is None  # it gave up its reserve
        assert database.rows("SELECT id FROM alarm") == [("a",)]
        database.probe()


def test_a_file_that_is_no_database_is_put_aside_and_kept(path):
    path.write_bytes(b"not a database at all " * 500)
    with box(path) as outbox:
        assert outbox.put(EVENT, b"x", NOW) == 1
    aside = list(Path(path.parent).glob(f"{FILE}.broken-*Z"))
    assert [each.read_bytes()[:5] for each in aside] == [b"not a"]


def test_the_file_is_for_its_owner_only(path):
    path.parent.chmod(0o755)
    with box(path):
        kept = [each for each in path.parent.glob(f"{FILE}*") if each.suffix != ".reserve"]
        assert len(kept) == 4  # the file, its log, the log's index and the lock
        assert [oct(each.stat().st_mode & 0o077) for each in kept] == ["0o0"] * 4
