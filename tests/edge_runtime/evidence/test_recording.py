"""What is recorded from when to when: every leak once, with what came before it."""

from __future__ import annotations

import io
import json

import pytest

from contract.alarms import AlarmKind
from contract.mask_encoding import decode_mask
from edge_runtime.evidence.preroll import Moment, Preroll
from tests.edge_runtime.evidence.leaks_seen import START_NS, jpeg, leak, play, recordings


def seconds(recording, view="raw"):
    return [(at_ns - START_NS) / 1e9 for at_ns, _ in recording.pictures(view)]


def test_a_leak_is_kept_with_the_seconds_before_and_after_it():
    many = recordings()
    play(many, 0, 30)
    many.heard(leak(), 30.0)
    play(many, 30, 49.9)
    assert many.finished(49.9) == []
    (done,) = many.finished(50.0)
    seen = seconds(done)
    assert seen[0] == pytest.approx(20, abs=0.3)
    assert seen[-1] == pytest.approx(49.8, abs=0.3)
    assert seconds(done, "overlay") == seen
    assert [data for _, data in done.pictures("raw")][:2] == [
        jpeg(round(at_s / 0.2)) for at_s in seen[:2]
    ]
    assert len([*done.masks()]) > 100
    assert all(decode_mask(each).frame_seq >= 98 for each in done.masks())
    assert all(json.loads(line)["quality"] == "GOOD" for line in done.values())
    assert many.finished(99.0) == []


def test_a_leak_that_is_told_again_is_not_recorded_again():
    many = recordings()
    many.heard(leak(), 0.0)
    many.heard(leak(acked=True), 5.0)
    many.heard(leak(active=False), 8.0)
    (done,) = many.finished(20.0)
    assert [each.active for each in done.changes] == [True, True, False]
    many.heard(leak(), 30.0)
    assert many.finished(60.0) == []
    known = recordings(known={"e1"})
    known.heard(leak(), 0.0)
    assert known.finished(60.0) == []


def test_leaks_that_follow_each_other_share_a_recording_which_does_not_grow_for_ever():
    many = recordings()
    done = []
    for number in range(60):
        many.heard(leak(f"e{number}"), number * 10.0)
        done += many.finished(number * 10.0)
    done += many.all_running()
    assert [each for one in done for each in one.event_ids] == [f"e{n}" for n in range(60)]
    for one in done:  # each leak has all of its seconds, in no more than five minutes
        last = int(one.event_ids[-1][1:]) * 10.0
        assert one.until_s >= last + 20.0
        assert one.until_s - int(one.event_ids[0][1:]) * 10.0 <= 300.0


def test_a_leak_whose_recording_the_disk_refused_is_recorded_once_it_takes_it():
    many = recordings()
    many.heard(leak("e1"), 0.0)
    assert many.give_up("north").event_ids == ["e1"]
    many.heard(leak("e1", acked=True), 10.0)
    (done,) = many.finished(30.0)
    assert done.event_ids == ["e1"]
    many = recordings()
    many.heard(leak("e1"), 0.0)
    many.heard(leak("e2", zone="flange", id="north.leak.flange"), 10.0)
    assert many.finished(29.0) == []
    (done,) = many.finished(30.0)
    assert done.event_ids == ["e1", "e2"]


@pytest.mark.parametrize(
    "alarm",
    [
        leak(kind=AlarmKind.FAILURE),
        leak(active=False),
        leak(event=""),
        leak(camera="elsewhere"),
        leak(camera=""),
    ],
)
def test_what_is_no_new_leak_begins_no_recording(alarm):
    many = recordings()
    many.heard(alarm, 0.0)
    assert many.all_running() == []


def test_cameras_are_recorded_apart():
    many = recordings()
    play(many, 0, 10)
    many.heard(leak("s1", "south"), 10.0)
    play(many, 10, 12)
    play(many, 10, 12, camera="south")
    (south,) = many.all_running()
    assert south.camera == "south"
    assert min(seconds(south)) == pytest.approx(10)
    many.heard(leak("n1"), 12.0)
    (north,) = many.all_running()
    assert max(seconds(north)) < 12


def test_memory_before_a_leak_is_bounded_by_bytes_and_by_age():
    ring = Preroll(10.0, 1_000_000)
    for number in range(1000):
        ring.add(Moment(number * 0.01, number, "raw", bytes(50_000)))
    assert len([*ring.take()]) <= 20
    for number in range(1000):
        ring.add(Moment(number * 1.0, number, "raw", b"x"))
    assert [each.at_s for each in ring.take()] == [float(each) for each in range(989, 1000)]
    assert [*ring.take()] == []


def test_a_recording_that_the_disk_refuses_is_given_up_once():
    class Full:
        closed = False

        def tell(self):
            return 0

        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            self.closed = True

    full = Full()
    many = recordings(new_spool=lambda: full)
    many.heard(leak(), 0.0)  # nothing came before it
    with pytest.raises(OSError, match="No space"):
        play(many, 0, 1)
    many.give_up("north").close()
    assert full.closed
    assert many.give_up("north") is None
    play(many, 1, 2)  # goes on into the ring before the next leak


@pytest.mark.parametrize("fails", ["to begin with", "with what came before", "in the midst"])
def test_a_leak_whose_recording_cannot_begin_is_known_as_not_kept(fails):
    class Short(io.BytesIO):
        def write(self, data):
            return super().write(data[: len(data) // 2])

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    def new_spool():
        if fails == "to begin with":
            raise OSError(28, "No space left on device")
        return Short() if fails == "in the midst" else Full()

    many = recordings(new_spool=new_spool)
    play(many, 0, 1)
    with pytest.raises(OSError, match="No space"):
        many.heard(leak("e1"), 1.0)
    given_up = many.give_up("north")
    assert given_up.event_ids == ["e1"]
    given_up.close()
