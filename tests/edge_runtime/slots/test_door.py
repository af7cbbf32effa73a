"""The daemon's door: frames for who asks, the switch, the way back, and the watch over a trial."""

from __future__ import annotations

import json
import socket
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contract.closing import Closing
from contract.errors import ConfigError, EngineError, InputError, NotKeptError
from contract.geometry import InputGeometry
from contract.tags import HealthCode
from edge_runtime.camera_state import ModelFacts
from edge_runtime.config import load_daemon_config
from edge_runtime.pipeline import Standing
from edge_runtime.slots.apply import go_back
from edge_runtime.slots.config import UpdateConfig
from edge_runtime.slots.daemon_door import asked, daemon_answers, frames_of
from edge_runtime.slots.door import SlotDoor, slot_door_path
from edge_runtime.slots.state import Condition
from tests.edge_runtime.conftest import frame_at, wait_for
from tests.edge_runtime.slots.conftest import AT, facts_of, partial_of
from tests.signing import TRUST_TABLE, put_public_key

if TYPE_CHECKING:
    from edge_runtime.slots.store import SlotStore

UPDATE = UpdateConfig(probation_s=1.5, steady_s=0.5, slow_s=0.5)
LONG = pytest.mark.parametrize("device", [UpdateConfig(slow_s=0.5)], indirect=True)
"""The trial outlasts the test."""


class Served:
    """In the place of the pipeline."""

    def __init__(self) -> None:
        self.models: list[Opened] = []
        self.takes = True
        self.faults = HealthCode(0)
        self.told: list = []
        self.serves = ""
        self.looked = 0

    def take_over(self, model: Opened, *, wait_s: float) -> bool:
        del wait_s
        if self.takes:
            self.models.append(model)
            self.serves = model.manifest_sha256
        return self.takes

    def listen(self, told):
        self.told.append(told)
        return lambda: self.told.remove(told)

    @property
    def standing(self) -> Standing:
        self.looked += 1
        return Standing(time.monotonic(), 0.01, self.faults, self.serves)


class Opened(Closing):
    """In the place of an opened model."""

    def __init__(self, slot: str, manifest: str) -> None:
        self.slot, self.manifest_sha256 = slot, manifest
        self.facts = ModelFacts(slot, "ab" * 32, "none", HealthCode(0))
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Device:
    """Slots, what is served, and the door between them."""

    def __init__(self, store: SlotStore, update: UpdateConfig) -> None:
        self.store, self.served, self.confirmed = store, Served(), []
        self.served.serves = store.read().running.manifest_sha256
        self.opened: list[Opened] = []
        self.fails = ""
        self.while_opening = lambda: None
        self.door = SlotDoor(store, self.served, self.open, update, self.confirmed.append)
        wait_for(lambda: daemon_answers(store.folder))

    def open(self, slot: str) -> Opened:
        if self.fails:
            raise EngineError(self.fails)
        self.while_opening()
        self.opened.append(Opened(slot, self.store.read().slots[slot].manifest_sha256))
        return self.opened[-1]

    def looks(self, times: int) -> None:
        """Wait until the door has looked at the trial so often."""
        until = self.served.looked + times
        wait_for(lambda: self.served.looked >= until, 20)

    def switch(self, slot: str, manifest: str) -> dict:
        return asked(
            self.store.folder, ask="switch", slot=slot, manifest_sha256=manifest, who="eva"
        )


@pytest.fixture
def device(request, store: SlotStore, bundles):
    """Model three is staged in slot-a, two runs in slot-b; the door is open."""
    store.take_in(partial_of(store, bundles[2]), facts_of(bundles[2]), who="eva")
    device = Device(store, getattr(request, "param", UPDATE))
    yield device
    device.door.close()
    device.door.close()
    assert not daemon_answers(store.folder)


def what(store: SlotStore) -> list[str]:
    return [event.what for event in store.read().history]


def test_a_staged_model_is_opened_kept_on_the_disk_and_then_served(device, bundles):
    said = device.switch("slot-a", bundles[2].manifest_sha256)
    assert said["segments"]
    assert [each.slot for each in device.served.models] == ["slot-a"]
    slots = device.store.read()
    assert slots.running.model_id == "three"
    assert slots.history[-1].who == "eva"
    assert slots.running.frame_ms == pytest.approx(10)


def test_a_model_on_trial_is_confirmed_after_its_time_with_masks(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)
    device.store.change(lambda s: s.begun(most=3, at=AT))
    wait_for(lambda: device.store.read().starts == 0, 10)  # steady
    wait_for(lambda: not device.store.read().is_on_trial, 10)
    assert device.store.read().least_counter == 2
    wait_for(lambda: device.confirmed == [2])
    assert what(device.store)[-1] == "confirmed"


def test_a_model_whose_quality_is_lost_goes_back_by_itself(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)
    device.served.faults = HealthCode.NETWORK_DRIFT
    wait_for(lambda: len(device.served.models) == 2, 10)
    assert [each.slot for each in device.served.models] == ["slot-a", "slot-b"]
    assert device.store.read().running.model_id == "two"
    event = device.store.read().history[-1]
    assert (event.what, event.who) == ("rolled back", "")
    assert "disagreement_limit" in event.reason
    assert device.store.read().slots["slot-a"].condition is Condition.FAILED


@LONG
def test_the_way_back_is_asked_for_and_taken_at_once(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)
    asked(device.store.folder, ask="rollback", who="eva")
    assert [each.slot for each in device.served.models] == ["slot-a", "slot-b"]
    assert device.store.read().running.model_id == "two"
    assert device.store.read().slots["slot-a"].condition is Condition.TRIAL


@LONG
def test_the_way_back_waits_for_no_apply_that_hangs(device, bundles, tmp_path):
    device.switch("slot-a", bundles[2].manifest_sha256)
    put_public_key(tmp_path)
    camera = '[[camera]]\nname = "north"\nsource = "sim:seed=1"\n'
    (tmp_path / "daemon.toml").write_text(f'[model]\nbundle = "models"\n{TRUST_TABLE}{camera}')
    with device.store.applying():
        slots = go_back(load_daemon_config(tmp_path / "daemon.toml"))
    assert slots.running.model_id == "two"


@LONG
def test_who_goes_back_by_hand_is_not_overruled_by_the_device_that_wanted_the_same(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)

    def by_hand() -> None:
        device.while_opening = lambda: None
        device.store.change(lambda s: s.rolled_back("asked for", at=AT, who="eva"))
        device.served.serves = bundles[1].manifest_sha256

    device.while_opening = by_hand
    device.served.faults = HealthCode.NETWORK_DRIFT
    wait_for(lambda: len(device.opened) == 2, 10)
    device.looks(2)
    slots = device.store.read()
    assert slots.running.model_id == "two"
    assert slots.running.condition is Condition.GOOD
    assert what(device.store)[-1] == "rolled back"
    assert slots.history[-1].who == "eva"
    assert [each.closed for each in device.opened] == [0, 1]


def test_a_model_that_never_served_is_not_confirmed(device, bundles):
    """It was switched to while no daemon seemed to run, and waits for the next start."""
    device.store.change(lambda s: s.switched("slot-a", who="eva", at=AT))
    device.store.change(lambda s: s.begun(most=3, at=AT))
    device.looks(5)  # the probation is two
    slots = device.store.read()
    assert slots.is_on_trial
    assert (slots.starts, slots.least_counter) == (1, 0)
    assert device.confirmed == []
    device.served.serves = bundles[2].manifest_sha256
    wait_for(lambda: device.confirmed == [2], 10)


def test_a_model_without_a_way_back_that_does_worse_is_not_confirmed(device, bundles):
    device.store.change(lambda s: s.switched("slot-a", who="eva", at=AT).emptied("slot-b"))
    device.served.serves = bundles[2].manifest_sha256
    device.served.faults = HealthCode.NETWORK_DRIFT
    device.looks(5)
    assert device.store.read().is_on_trial
    assert device.opened == []


@LONG
def test_a_way_back_that_is_not_taken_leaves_the_good_model_good(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)
    device.served.takes = False
    with pytest.raises(InputError, match="from the next start"):
        asked(device.store.folder, ask="rollback", who="eva")
    slots = device.store.read()
    assert slots.running.model_id == "two"
    assert slots.running.condition is Condition.GOOD
    assert slots.slots["slot-a"].condition is Condition.TRIAL
    assert [each.closed for each in device.opened] == [0, 1]


@LONG
def test_a_full_disk_does_not_keep_a_bad_model_running(device, bundles, monkeypatch):
    device.switch("slot-a", bundles[2].manifest_sha256)

    def full(_: object) -> None:
        raise NotKeptError("the disk is full")

    monkeypatch.setattr(device.store, "change", full)
    device.served.faults = HealthCode.NETWORK_DRIFT
    wait_for(lambda: len(device.served.models) == 2, 10)
    assert [each.slot for each in device.served.models] == ["slot-a", "slot-b"]
    assert [each.closed for each in device.opened] == [0, 0]


@LONG
def test_a_way_back_that_does_not_open_is_not_tried_each_second(device, bundles):
    device.switch("slot-a", bundles[2].manifest_sha256)
    tried = []

    def fails() -> None:
        tried.append(1)
        raise EngineError("out of memory")

    device.while_opening = fails
    device.served.faults = HealthCode.NETWORK_DRIFT
    wait_for(lambda: tried, 10)
    device.looks(3)
    assert len(tried) == 1


def test_what_another_apply_put_there_meanwhile_is_not_switched_to(device, bundles):
    def replace() -> None:
        device.while_opening = lambda: None
        device.store.take_in(partial_of(device.store, bundles[0]), facts_of(bundles[0]), who="bo")

    device.while_opening = replace
    with pytest.raises(InputError, match="does not hold manifest"):
        device.switch("slot-a", bundles[2].manifest_sha256)
    assert device.served.models == []
    assert [each.closed for each in device.opened] == [1]


def test_a_folder_whose_path_is_too_long_for_a_socket_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="too long a path") as caught:
        daemon_answers(tmp_path / ("m" * 120))
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_open_leaves_what_runs_and_is_marked(device, bundles):
    device.fails = "known-answer test not passed"
    with pytest.raises(InputError, match="known-answer"):
        device.switch("slot-a", bundles[2].manifest_sha256)
    assert device.served.models == []
    assert device.store.read().running.model_id == "two"
    assert device.store.read().slots["slot-a"].reason == "known-answer test not passed"
    assert what(device.store)[-1] == "failed"


def test_a_switch_that_is_not_taken_is_taken_back(device, bundles):
    device.served.takes = False
    with pytest.raises(InputError, match="did not take the model"):
        device.switch("slot-a", bundles[2].manifest_sha256)
    assert [each.closed for each in device.opened] == [1]
    assert device.store.read().running.model_id == "two"
    assert what(device.store)[-2:] == ["switched", "rolled back"]


def test_a_disk_that_refuses_switches_nothing(device, bundles, monkeypatch):
    def full(_: object) -> None:
        raise NotKeptError("the disk is full")

    monkeypatch.setattr(device.store, "change", full)
    with pytest.raises(InputError, match="the disk is full"):
        device.switch("slot-a", bundles[2].manifest_sha256)
    assert device.served.models == []
    assert [each.closed for each in device.opened] == [1]


@pytest.mark.parametrize(
    ("slot", "model", "said"),
    [
        ("slot-a", 0, "does not hold manifest"),
        ("slot-b", 1, "slot-b runs already"),
        ("slot-c", 2, "does not hold manifest"),
        ("../evil", 2, "does not hold manifest"),
    ],
)
def test_only_what_was_verified_for_this_slot_is_switched_to(device, bundles, slot, model, said):
    with pytest.raises(InputError, match=said):
        device.switch(slot, bundles[model].manifest_sha256)
    assert device.opened == []


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"no json\n", b"[]\n", b'"x"\n', b"{}\n", b'{"ask": "else"}\n', b"x" * 99999],
)
def test_what_is_no_request_is_refused_or_dropped_and_the_door_stays_open(device, line):
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(slot_door_path(device.store.folder)))
        door.sendall(line)
        door.shutdown(socket.SHUT_WR)
        answer = door.makefile("rb").readline()
    assert answer == b"" or "no request" in json.loads(answer)["refused"]
    assert daemon_answers(device.store.folder)


def test_frames_come_when_asked_for_with_the_mask_of_what_runs(device):
    fit = InputGeometry(width=64, height=64).of(64, 48)
    mask = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 3
    sent = frame_at(1.0)
    done = threading.Event()

    def worker() -> None:
        while not done.wait(0.01):
            for told in tuple(device.served.told):
                told(sent, mask, fit)

    thread = threading.Thread(target=worker)
    thread.start()
    try:
        for taken in islice(frames_of(device.store.folder), 5):
            camera, picture, found = taken
            assert camera == "north"
            assert np.array_equal(picture, sent.picture)
            assert np.array_equal(found, mask[fit.valid])
        wait_for(lambda: not device.served.told)  # nobody listens for one who has left
    finally:
        done.set()
        thread.join()


def test_no_frame_for_a_moment_is_said_and_nothing_waits(device):
    begun_s = time.monotonic()
    assert next(frames_of(device.store.folder)) is None
    assert time.monotonic() - begun_s < 5
    wait_for(lambda: not device.served.told)


def test_one_who_asks_for_frames_and_reads_none_holds_up_nobody(device):
    frame = frame_at(1.0, np.zeros((1080, 1920, 3), np.uint8))
    fit = InputGeometry(width=64, height=64).of(1920, 1080)
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(slot_door_path(device.store.folder)))
        door.sendall(b'{"ask": "frames"}\n' + b"." * 50)
        wait_for(lambda: device.served.told)
        slowest = 0.0
        for _ in range(200):
            begun_s = time.monotonic()
            device.served.told[0](frame, np.zeros((64, 64), np.uint8), fit)
            slowest = max(slowest, time.monotonic() - begun_s)
        assert slowest < 0.5  # a lock and a dictionary, on whatever machine
        assert asked(device.store.folder, ask="standing")["run_ms"] == pytest.approx(10)
    wait_for(lambda: not device.served.told, 20)
