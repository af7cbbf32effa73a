"""Alarms & Conditions, as an alarm client of another make (node-opcua) sees and uses them."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from contract.roles import Role
from edge_runtime.plant.users import add_user, remove_user
from tests.plant.node_opcua import Client

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("asyncua")

CAMERAS = tuple(f"c{number}" for number in range(1, 15))
SERVER = "i=2253"
OFF_NORMAL, DIAGNOSTIC = "ns=0;i=10637", "ns=0;i=18347"
REFRESHED = ["ns=0;i=2787", "ns=0;i=2788"]  # RefreshStartEventType, RefreshEndEventType


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    with plant.run(folder, serve=("opcua",), cameras=CAMERAS) as running:
        running.fresh = iter(CAMERAS)
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory, plant, gateway):
    client = Client.made(tmp_path_factory.mktemp("client"), plant.user, plant.password)
    client.endpoint = f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge"
    yield client
    client.close()


@dataclass
class Leak:
    """A leak at a camera of its own, so that no test meets what another left behind."""

    camera: str
    node: Client
    until: Callable

    @property
    def condition(self):
        return f"ns=2;s=/Alarms/{self.camera}.leak"

    @property
    def shelving(self):
        return f"{self.condition}/ShelvingState"

    def event(self, truth=lambda _: True, *, of="leak", client=None):
        """The first event of the alarm of which this is true."""
        name, found = f"ns=2;s=/Alarms/{self.camera}.{of}", []

        def look():
            events = (client or self.node).tell(do="events")["events"]
            found.extend(e for e in events if e["condition"] == name and truth(e))
            return found

        self.until(look)
        return found[0]

    def do(self, what, event, comment="", *, client=None):
        """Acknowledge, confirm or comment; the answer is the status."""
        name = event["EventId"]["base64"]
        client = client or self.node
        told = client.tell(do=what, condition=self.condition, event=name, comment=comment)
        return told["status"]

    def call(self, what, method, *arguments, client=None):
        """Call a method by its type's id with numbers; the answer is the status."""
        given = [{"dataType": "Double", "value": each} for each in arguments]
        client = client or self.node
        return client.tell(do="call", object=what, method=method, arguments=given)["status"]


@contextlib.contextmanager
def listening(client, emitter=SERVER):
    client.start("conditions", emitter)
    assert client.answer() == {"watching": True}
    yield client
    assert client.end() == {"ended": True}


@pytest.fixture
def leak(plant, gateway, node):
    """A leak that is about to begin, and a client that listens."""
    found = Leak(next(gateway.fresh), node, plant.until)
    with listening(node):
        yield found


@pytest.fixture
def begun(plant, gateway, leak):
    """The event of a leak that lasts as long as the test."""
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        yield leak.event(lambda e: e["ActiveState.Id"])


def test_a_leak_is_an_off_normal_alarm_with_all_that_an_operator_needs(leak, begun):
    assert begun["EventType"] == OFF_NORMAL
    assert begun["SourceName"] == leak.camera
    assert begun["ConditionName"] == "LeakAlarm"
    assert begun["Severity"] == 800
    assert begun["ActiveState"] == "Active"
    assert (begun["AckedState.Id"], begun["ConfirmedState.Id"]) == (False, False)
    assert begun["Retain"] is True
    assert begun["BranchId"] == "ns=0;i=0"
    assert begun["Quality"] == "Good"
    assert begun["ShelvingState.CurrentState"] == "Unshelved"
    assert begun["SuppressedOrShelved"] is False
    assert len(begun["EventId"]["base64"]) == 24
    told = dt.datetime.fromisoformat(begun["Time"].replace("Z", "+00:00"))
    assert abs(told.timestamp() - time.time()) < 60


def test_an_operator_acknowledges_comments_and_confirms_and_the_client_sees_it(plant, leak, begun):
    assert leak.do("confirm", begun) == "BadInvalidState"  # not yet acknowledged
    assert leak.do("acknowledge", begun, "seen at\nthe flange") == "Good"
    acked = leak.event(lambda e: e["AckedState.Id"])
    assert acked["EventId"] != begun["EventId"]
    assert acked["Comment"] == "seen at the flange"
    assert acked["ClientUserId"] == plant.user
    assert acked["Retain"] is True
    assert leak.do("acknowledge", acked) == "BadConditionBranchAlreadyAcked"
    assert leak.do("comment", acked, "crew sent") == "Good"
    said = leak.event(lambda e: e["Comment"] == "crew sent")
    assert leak.do("confirm", said) == "Good"
    leak.event(lambda e: e["ConfirmedState.Id"])
    assert leak.do("confirm", said) == "BadConditionBranchAlreadyConfirmed"


def test_an_event_that_nobody_told_is_not_acknowledged(leak, begun):
    for event in ("", "AAAAAAAAAAAAAAAAAAAAAA=="):
        made_up = {"EventId": {"base64": event}}
        assert leak.do("acknowledge", made_up) == "BadEventIdUnknown"
    assert leak.do("acknowledge", begun) == "Good"


def test_the_event_of_a_leak_that_is_long_over_does_not_acknowledge_the_next(plant, gateway, leak):
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        first = leak.event(lambda e: e["ActiveState.Id"])
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera, Leak__State=0)):
        leak.event(lambda e: not e["ActiveState.Id"])
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        leak.event(lambda e: e["ActiveState.Id"])
        assert leak.do("acknowledge", first) == "BadEventIdUnknown"


def test_shelving_is_bounded_seen_and_ended(leak, begun):
    timed, one_shot, unshelve = "i=9213", "i=9212", "i=9211"
    assert leak.call(leak.shelving, unshelve) == "BadConditionNotShelved"
    assert leak.call(leak.shelving, timed, 9 * 3600e3) == "BadShelvingTimeOutOfRange"
    assert leak.call(leak.shelving, timed, -1.0) == "BadShelvingTimeOutOfRange"
    assert leak.call(leak.shelving, timed, 600e3) == "Good"
    event = leak.event(lambda e: e["SuppressedOrShelved"])
    assert event["ShelvingState.CurrentState"] == "Timed Shelved"
    assert event["ShelvingState.CurrentState.Id"] == "ns=0;i=2932"
    assert 590e3 < event["ShelvingState.UnshelveTime"] <= 600e3
    assert event["ActiveState.Id"] is True, "shelving hides the bell, not the leak"
    assert leak.call(leak.shelving, unshelve) == "Good"
    leak.event(lambda e: not e["SuppressedOrShelved"])
    assert leak.call(leak.condition, one_shot) == "Good"
    event = leak.event(lambda e: e["SuppressedOrShelved"])
    assert event["ShelvingState.CurrentState"] == "One Shot Shelved"
    assert event["ShelvingState.CurrentState.Id"] == "ns=0;i=2933"
    assert 1_700e3 < event["ShelvingState.UnshelveTime"] <= 1_800e3  # it ends in any case


def test_nothing_else_can_be_called_nor_by_those_who_may_not(leak, begun):
    assert leak.call(leak.condition, "i=17869") == "BadUserAccessDenied"  # takes an engineer
    for name, method in (
        (leak.condition, "i=9027"),
        (leak.condition, "i=9028"),
        (SERVER, "i=11492"),
    ):
        assert leak.call(name, method) == "BadMethodInvalid"
    assert leak.call("ns=2;s=/Cameras", "i=9211") == "BadNodeIdUnknown"
    assert leak.call(leak.shelving, "i=9213") == "BadArgumentsMissing"
    assert leak.call(leak.shelving, "i=9211", 1.0) == "BadTooManyArguments"
    wrong = [{"dataType": "String", "value": "ten minutes"}]
    done = leak.node.tell(do="call", object=leak.shelving, method="i=9213", arguments=wrong)
    assert done == {"status": "BadInvalidArgument"}


@pytest.mark.parametrize("item", [False, True])
def test_a_refresh_tells_what_is_still_wrong_and_nothing_else(plant, leak, begun, item):
    earlier = leak.node.tell(do="events")["events"]
    assert leak.node.tell(do="refresh", item=item) == {"status": "Good"}
    seen = []

    def complete():
        seen.extend(leak.node.tell(do="events")["events"])
        return REFRESHED[1] in [e["EventType"] for e in seen]

    plant.until(complete)
    kinds = [e["EventType"] for e in seen]
    # what came before or after is no part of it
    refreshed = seen[kinds.index(REFRESHED[0]) + 1 : kinds.index(REFRESHED[1])]
    mine = [e for e in refreshed if e["condition"] == leak.condition]
    assert len(mine) == 1
    told = [begun, *earlier, *seen[: kinds.index(REFRESHED[0])]]
    newest = [e for e in told if e["condition"] == leak.condition][-1]
    assert mine[0]["EventId"] == newest["EventId"], "the same state is the same event"
    assert all(e["Retain"] for e in refreshed)


def test_a_viewer_sees_alarms_and_can_change_none(plant, leak, begun):
    viewer = Client.made(leak.node.folder.with_name("viewer"), "viewer", plant.password)
    try:
        viewer.endpoint = leak.node.endpoint
        with listening(viewer):
            assert viewer.tell(do="refresh") == {"status": "Good"}
            event = leak.event(client=viewer)
            assert leak.do("acknowledge", event, client=viewer) == "BadUserAccessDenied"
            denied = leak.call(leak.shelving, "i=9213", 600e3, client=viewer)
            assert denied == "BadUserAccessDenied"
    finally:
        viewer.close()
    assert leak.do("acknowledge", begun) == "Good"


def test_who_is_taken_out_of_the_user_file_can_do_nothing_more_though_still_logged_in(
    plant, gateway, leak, begun
):
    users = plant.users_file(gateway.folder)
    given = {"condition": leak.condition, "event": begun["EventId"]["base64"], "comment": ""}

    def refusal():
        add_user(users, "leaver", plant.password, Role.ENGINEER)
        leaver = Client.made(leak.node.folder.with_name("leaver"), "leaver", plant.password)
        try:
            leaver.endpoint = leak.node.endpoint
            leaver.start("conditions", SERVER)
            assert leaver.answer() == {"watching": True}
            remove_user(users, "leaver")
            said = leaver.tell(do="acknowledge", **given)["error"]
        finally:
            leaver.close()
        # within a second or two the connection ends, too (test_opcua_leavers.py): then once more
        assert "BadUserAccessDenied" in said or "disconnected" in said
        return "BadUserAccessDenied" in said

    plant.until(refusal, within_s=30)
    assert leak.do("acknowledge", begun) == "Good"


def test_a_leak_that_ends_unacknowledged_stays_in_the_list_until_it_is(plant, gateway, leak):
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        leak.event(lambda e: e["ActiveState.Id"])
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera, Leak__State=0)):
        over = leak.event(lambda e: not e["ActiveState.Id"])
        assert (over["Retain"], over["AckedState.Id"]) == (True, False)
        assert leak.do("acknowledge", over) == "Good"
        assert leak.event(lambda e: e["AckedState.Id"])["Retain"] is False


def test_a_blind_camera_fails_aloud_and_its_leak_stays_with_bad_quality(plant, gateway, leak):
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        begun = leak.event(lambda e: e["ActiveState.Id"])
    doubted = leak.event(lambda e: e["Quality"].startswith("Bad"))  # nobody speaks any more
    assert doubted["ActiveState.Id"] is True, "blind is not `the leak is over`"
    failed = leak.event(lambda e: e["ActiveState.Id"], of="failure")
    assert (failed["EventType"], failed["ConditionName"]) == (DIAGNOSTIC, "FailureAlarm")
    assert failed["Quality"] == "Good", "that nobody looks is known for certain"
    with plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)):
        sure = leak.event(lambda e: e["Quality"] == "Good")
    ids = [each["EventId"]["base64"] for each in (begun, doubted, sure)]
    assert len(set(ids)) == 3, "a client that knows events by their ids would keep the doubt"
    assert leak.do("acknowledge", begun) == "Good", "it is the same leak all the while"


def test_the_events_of_one_camera_can_be_had_from_its_own_node(plant, gateway, node):
    leak = Leak(next(gateway.fresh), node, plant.until)
    with (
        plant.speak(gateway, lambda: plant.snapshot(camera=leak.camera)),
        listening(node, f"ns=2;s=/Cameras/{leak.camera}"),
    ):
        assert node.tell(do="refresh") == {"status": "Good"}
        leak.event(lambda e: e["ActiveState.Id"])
        assert {e["SourceName"] for e in node.tell(do="events")["events"]} <= {leak.camera}
