"""The gateway's relay to the processes beside it: quick, ordered, never waiting, open to nobody."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from contract.alarms import Action, ActionKind, Alarm, AlarmState, Outcome
from contract.audit import Category, Entry
from contract.errors import InputError
from contract.roles import Role
from contract.tags import HealthCode
from edge_runtime.alarms.desk import DEVICE_ALARM, Desk, WatchedCamera
from edge_runtime.database import Database
from edge_runtime.plant import relay as relay_module
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.messages import (
    PREFIX_BYTES,
    Picture,
    Sent,
    encode_picture,
    encode_snapshot,
    sizes_from_prefix,
)
from edge_runtime.plant.private_socket import read_message
from edge_runtime.plant.receiver import Board
from edge_runtime.plant.relay import RelayClient, serve_relay
from edge_runtime.plant.relay_messages import (
    Answer,
    Asked,
    Maintain,
    Note,
    Subscription,
    Word,
    decode_relayed,
    encode_relayed,
)
from tests.edge_runtime.evidence.leaks_seen import leak

ALARM = leak(
    "0192", state=AlarmState.SHELVED, message="Leak: näher", onset_ns=5, shelved_until_ns=2**62
)
ACTION = Action(
    ActionKind.SHELVE,
    "north.leak",
    "operator1",
    Role.OPERATOR,
    "opcua 10.0.0.1",
    "why",
    600.0,
    "0192",
)


def parts(wire):
    header, blob = sizes_from_prefix(wire[:PREFIX_BYTES])
    body = wire[PREFIX_BYTES:]
    assert len(body) == header + blob
    return body[:header], body[header:]


@pytest.mark.parametrize(
    "message",
    [
        ALARM,
        Asked(7, ACTION),
        *(Answer(7, outcome) for outcome in Outcome),
        Subscription(pictures=True),
        Note(3, Entry(Category.ACCESS, "log-in", who="operator1", result="wrong password")),
        Maintain("certificate", "ends soon"),
        Maintain("certificate", None),
        Word("north", {"Leak/AlarmState": 1, "Leak/EventId": None}, int(HealthCode.CHATTERING)),
    ],
)
def test_every_message_survives_the_wire(message):
    assert decode_relayed(*parts(encode_relayed(message))) == message


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind":"asked"}',
        b'{"kind":"asked","n":1,"action":{"kind":"NO","role":"VIEWER"}}',
        b'{"kind":"asked","n":1,"action":{"kind":"RESET","role":"ROOT"}}',
        b'{"kind":"asked","n":1,"action":{"kind":"RESET","role":"VIEWER"}}',
        b'{"kind":"alarm","state":"NORM","kind_of_alarm":"LEAK"}',
        b'{"kind":"word","camera":"a","values":3,"warnings":0}',
        b'{"kind":"no such kind"}',
    ],
)
def test_a_damaged_message_is_refused(header):
    with pytest.raises(InputError):
        decode_relayed(header, b"")


class Plant:
    """A board, a desk and their relay in one loop, as the gateway has them."""

    def __init__(self, folder, plant, cameras=("north", "south")):
        self.path = folder / "link" / "relay.sock"
        self.board = Board(cameras, Limits(0.5, 2.0))
        self.database = Database(None)
        self.snapshot = plant.snapshot
        self.desk = Desk([WatchedCamera(name) for name in cameras], self.database)
        self.board.own_word = self.desk.own_word

    def speak(self, **values):
        wire = encode_snapshot(self.snapshot(**values), sent_ns=time.monotonic_ns(), age_ns=0)
        self.board.take(*parts(wire))
        for camera in self.board.cameras:
            self.desk.look(self.board.heard(camera))
        self.desk.tick()

    @contextlib.asynccontextmanager
    async def serving(self):
        async with serve_relay(self.board, self.desk, self.path):
            yield self

    @contextlib.asynccontextmanager
    async def client(self, **named):
        heard = []
        board = Board(self.board.cameras, Limits(0.5, 2.0))
        client = RelayClient(self.path, board, heard=heard.append, **named)
        client.heard, client.board = heard, board
        running = asyncio.create_task(client.run())
        try:
            yield client
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def until(truth, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not truth():
        assert time.monotonic() < deadline, truth
        await asyncio.sleep(0.01)


def test_values_words_and_alarms_arrive_and_values_come_before_what_follows_from_them(
    plant, tmp_path
):
    async def scene():
        made = Plant(tmp_path, plant)
        async with made.serving(), made.client() as client:
            await until(lambda: DEVICE_ALARM in client.alarms)
            client.heard.clear()
            made.speak()
            await until(lambda: client.alarms["north.leak"].active)
            kinds = [type(each) for each in client.heard]
            assert kinds.index(Sent) < kinds.index(Alarm)
            assert client.board.show("north").snapshot.value("Leak/Score") == 0.8125
            await until(
                lambda: (
                    client.board.show("north").snapshot.value("Leak/AlarmState") == AlarmState.UNACK
                )
            )
            assert client.board.show("south").snapshot.value("Leak/State") == 255

    asyncio.run(scene())


def test_an_action_is_done_at_the_desk_and_answered(plant, tmp_path):
    async def scene():
        made = Plant(tmp_path, plant)
        async with made.serving(), made.client() as client:
            made.speak()
            await until(lambda: "north.leak" in client.alarms)
            viewer = Action(ActionKind.ACKNOWLEDGE, "north.leak", "viewer1", Role.VIEWER, "opcua x")
            assert await client.act(viewer) is Outcome.NOT_ALLOWED
            operator1 = Action(
                ActionKind.ACKNOWLEDGE, "north.leak", "operator1", Role.OPERATOR, "opcua x"
            )
            assert await client.act(operator1) is Outcome.DONE
            await until(lambda: client.alarms["north.leak"].acked)
            client.note(Entry(Category.ACCESS, "log-in", who="stranger1", result="wrong password"))
            client.maintain("certificate", "it ends soon")
            await until(
                lambda: "it ends soon" in client.alarms[DEVICE_ALARM].message or made.desk.tick()
            )
        told = [(each.who, each.result) for each in made.desk.journal.after(0, 999)[1]]
        assert ("viewer1", Outcome.NOT_ALLOWED.value) in told
        assert ("operator1", "done") in told
        assert ("stranger1", "wrong password") in told
        assert await client.act(operator1) is Outcome.NOT_KEPT, "nobody is there any more"

    asyncio.run(scene())


def test_a_client_comes_back_to_a_new_gateway_and_learns_what_changed_meanwhile(plant, tmp_path):
    async def scene():
        made = Plant(tmp_path, plant)
        async with made.client() as client:
            client.maintain("certificate", "it ends soon")
            async with made.serving():
                await until(lambda: client.connected)
            await until(lambda: not client.connected)
            made.speak()
            async with made.serving():
                await until(
                    lambda: "north.leak" in client.alarms and client.alarms["north.leak"].active
                )
                await until(lambda: made.desk.tick() or client.alarms[DEVICE_ALARM].active)

    asyncio.run(scene())


@contextlib.asynccontextmanager
async def gateway_that_hears(path, heard, *, hangs_up):
    """The gateway's end of the relay, which takes what it is asked and gives no answer."""

    async def connected(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                heard.append(decode_relayed(*await read_message(reader)))
                if hangs_up and isinstance(heard[-1], Asked | Note):
                    break
        writer.close()

    path.parent.mkdir(mode=0o700, exist_ok=True)
    async with await asyncio.start_unix_server(connected, str(path)):
        yield
    path.unlink()


@pytest.mark.parametrize("hangs_up", [True, False])
def test_what_was_asked_and_not_answered_is_not_said_to_be_undone(
    plant, tmp_path, monkeypatch, hangs_up
):
    """The desk may have done it: what an operator is told must not say otherwise."""
    monkeypatch.setattr(relay_module, "_ANSWER_S", 0.3)

    async def scene():
        made, heard = Plant(tmp_path, plant), []
        async with (
            gateway_that_hears(made.path, heard, hangs_up=hangs_up),
            made.client() as client,
        ):
            await until(lambda: client.connected)
            assert await client.act(ACTION) is Outcome.UNANSWERED
            assert any(isinstance(each, Asked) for each in heard)

    asyncio.run(scene())


def test_what_is_to_be_audited_while_the_gateway_starts_again_is_written_down_once(
    plant, tmp_path, monkeypatch
):
    monkeypatch.setattr(relay_module, "_MAX_NOTES", 5)

    def logged_in(number):
        return Entry(Category.ACCESS, "log-in", who=f"user{number}")

    async def scene():
        made, heard = Plant(tmp_path, plant), []
        async with made.client() as client:
            async with gateway_that_hears(made.path, heard, hangs_up=True):
                await until(lambda: client.connected)
                client.note(logged_in(0))  # heard by a gateway that ends before it writes
                await until(lambda: Note(1, logged_in(0)) in heard)
            await until(lambda: not client.connected)
            for number in range(1, 7):
                client.note(logged_in(number))
            async with made.serving():
                await until(lambda: client.connected and not client._notes)
                client.note(logged_in(7))
                await until(lambda: not client._notes)
            async with made.serving():
                await until(lambda: client.connected)
        records = made.desk.journal.after(0, 999)[1]
        return [each.who for each in records if each.category == "access"]

    assert asyncio.run(scene()) == [f"user{number}" for number in range(2, 8)]


def test_pictures_go_only_to_who_wants_them(plant, tmp_path):
    async def scene():
        made = Plant(tmp_path, plant)
        async with (
            made.serving(),
            made.client(pictures=True) as wants,
            made.client() as other,
        ):
            await until(lambda: wants.connected and other.connected and wants.alarms)
            await until(lambda: other.alarms)
            made.board.take(*parts(encode_picture("north", b"jpeg", 9)))
            made.speak()
            await until(lambda: any(isinstance(each, Picture) for each in wants.heard))
            await until(lambda: any(isinstance(each, Sent) for each in other.heard))
            assert not any(isinstance(each, Picture) for each in other.heard)

    asyncio.run(scene())


def test_who_takes_nothing_costs_the_gateway_nothing_and_is_cut_off_in_the_end(
    plant, tmp_path, monkeypatch
):
    """Values are replaced by newer ones; alarms are not, so that one who lets them lie must go."""
    monkeypatch.setattr(relay_module, "_MAX_UNSENT", 100)

    async def scene():
        made = Plant(tmp_path, plant)
        async with made.serving():
            reader, writer = await asyncio.open_unix_connection(str(made.path))
            writer.write(encode_relayed(Subscription(pictures=True)))
            await until(lambda: made.board._listeners)
            took = []
            for number in range(200):
                began = time.perf_counter()
                made.board.take(*parts(encode_picture("north", bytes(100_000), number)))
                made.speak()
                took.append(time.perf_counter() - began)
                await asyncio.sleep(0)
            assert sorted(took)[100] < 0.01
            assert made.board._listeners, "a late picture is no reason to cut anybody off"
            for _ in range(300):
                for tell in tuple(made.desk._listeners):
                    tell(ALARM)
                await asyncio.sleep(0)
            await until(lambda: not made.board._listeners)
            assert not made.desk._listeners
            with contextlib.suppress(ConnectionError):
                while await reader.read(1 << 20):
                    pass
            writer.close()

    asyncio.run(scene())


def test_nonsense_closes_the_connection_and_changes_nothing(plant, tmp_path):
    async def scene():
        made = Plant(tmp_path, plant)
        async with made.serving(), made.client() as client:
            for nonsense in (
                b"GEL1" + b"\xff" * 8,
                encode_relayed(ALARM),
                encode_relayed(Subscription(pictures=False)) + b"GEL1" + bytes(8),
            ):
                reader, writer = await asyncio.open_unix_connection(str(made.path))
                writer.write(nonsense)
                with contextlib.suppress(ConnectionError):
                    while await asyncio.wait_for(reader.read(1 << 16), 10):
                        pass
                writer.close()
            made.speak()
            await until(lambda: client.alarms.get("north.leak", ALARM).message != ALARM.message)

    asyncio.run(scene())


def test_the_socket_is_private(plant, tmp_path):
    async def scene():
        made = Plant(tmp_path, plant)
        async with made.serving():
            assert made.path.stat().st_mode & 0o777 == 0o600
            assert made.path.parent.stat().st_mode & 0o777 == 0o700

    asyncio.run(scene())
