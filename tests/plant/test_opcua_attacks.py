"""What a stranger on the control network can and cannot do to the OPC UA server.

The library's own client is used where a test must misbehave in ways that a proper one cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from pathlib import Path

import pytest

pytest.importorskip("asyncua")

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import (
    SecurityPolicyBasic256Sha256,
)
from cryptography.x509.oid import ExtendedKeyUsageOID


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("opcua", "modbus")) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    asyncio.run(
        setup_self_signed_certificate(
            folder / "key.pem",
            folder / "cert.der",
            "urn:gasedge:test",
            "localhost",
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            {},
        )
    )
    return folder


async def channel(gateway, keys, plant=None):
    """A client with an encrypted channel, not yet with a session."""
    client = Client(f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge", timeout=10)
    client.application_uri = "urn:gasedge:test"
    if plant is not None:
        client.set_user(plant.user)
        client.set_password(plant.password)
    if keys is not None:
        certificate = Path(gateway.folder / "state/opcua.der")
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=keys / "cert.der",
            private_key=keys / "key.pem",
            server_certificate=certificate,
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


def session_parameters(client):
    parameters = ua.CreateSessionParameters()
    parameters.ClientNonce = bytes(32)
    parameters.EndpointUrl = client.server_url.geturl()
    return parameters


async def read_state(client):
    parameters = ua.ReadParameters()
    value = ua.ReadValueId()
    value.NodeId = ua.NodeId("north.Leak.State", 2)
    value.AttributeId = ua.AttributeIds.Value
    parameters.NodesToRead = [value]
    return await client.uaclient.read(parameters)


def modbus_answers(gateway):
    """Seconds that the Modbus server takes to answer."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=10) as modbus:
        modbus.sendall(bytes.fromhex("0001 0000 0006 01 04 0000 007d"))
        assert len(modbus.recv(1000)) > 9
    return time.monotonic() - began


def test_a_session_cannot_be_taken_over_without_the_password(plant, gateway, keys):
    """The library hands a live session to whoever names its token, before it asks who it is."""

    async def attack():
        owner = await channel(gateway, keys, plant)
        await owner.create_session()
        await owner.activate_session(username=plant.user, password=plant.password)
        token = owner.uaclient.protocol.authentication_token
        assert isinstance(token.Identifier, bytes)
        assert len(token.Identifier) == 32
        thief = await channel(gateway, keys)
        thief.uaclient.protocol.authentication_token = token
        with pytest.raises(ua.UaError):
            await thief.uaclient.activate_session(ua.ActivateSessionParameters())
        with pytest.raises(ua.UaError):
            await read_state(thief)
        assert await read_state(owner)
        thief.disconnect_socket()
        await owner.close_session()
        owner.disconnect_socket()

    asyncio.run(attack())


def test_the_right_password_on_an_unencrypted_channel_is_refused(plant, gateway):
    async def attack():
        client = await channel(gateway, None)
        await client.uaclient.create_session(session_parameters(client))
        token = ua.ActivateSessionParameters()
        token.UserIdentityToken = ua.UserNameIdentityToken()
        token.UserIdentityToken.PolicyId = "username"
        token.UserIdentityToken.UserName = plant.user
        token.UserIdentityToken.Password = plant.password.encode()
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await client.uaclient.activate_session(token)
        with pytest.raises(ua.UaError):
            await read_state(client)
        client.disconnect_socket()

    asyncio.run(attack())
    assert gateway.said("without encryption was turned away")


def test_one_connection_cannot_open_many_sessions(gateway, keys):
    async def attack():
        client = await channel(gateway, keys)
        parameters = session_parameters(client)
        await client.uaclient.create_session(parameters)
        with pytest.raises(ua.uaerrors.BadTooManySessions):
            await client.uaclient.create_session(parameters)
        client.disconnect_socket()

    asyncio.run(attack())


def test_a_user_cannot_touch_the_subscriptions_of_another(plant, gateway, keys):
    """Their numbers count upwards, and the library asks nobody whose they are."""

    async def attack():
        clients = []
        for user in (plant.user, "viewer"):
            client = await channel(gateway, keys, plant)
            await client.create_session()
            await client.activate_session(username=user, password=plant.password)
            clients.append(client)
        owner, thief = (each.uaclient for each in clients)
        asked = ua.CreateSubscriptionParameters()
        asked.RequestedPublishingInterval = 100
        asked.RequestedLifetimeCount = 1000
        asked.PublishingEnabled = True
        mine = (await owner.create_subscription(asked, lambda _: None)).SubscriptionId
        (deleted,) = await thief.delete_subscriptions([mine])
        assert deleted.name == "BadSubscriptionIdInvalid"
        items = ua.CreateMonitoredItemsParameters(SubscriptionId=mine)
        with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
            await thief.create_monitored_items(items)
        with pytest.raises(ua.UaError):
            await thief.transfer_subscriptions(
                ua.TransferSubscriptionsParameters(SubscriptionIds=[mine])
            )
        (deleted,) = await owner.delete_subscriptions([mine])
        assert deleted.is_good()
        for each in clients:
            await each.close_session()
            each.disconnect_socket()

    asyncio.run(attack())


def test_a_user_cannot_listen_to_events_without_bound(plant, gateway, keys):
    """Many items, long filters: each event would be made for all of them."""

    async def attack():
        client = await channel(gateway, keys, plant)
        await client.create_session()
        await client.activate_session(username=plant.user, password=plant.password)
        asked = ua.CreateSubscriptionParameters(RequestedPublishingInterval=100)
        asked.RequestedLifetimeCount = 1000
        made = await client.uaclient.create_subscription(asked, lambda _: None)

        async def listen(fields):
            clause = ua.SimpleAttributeOperand(
                ua.NodeId(ua.ObjectIds.BaseEventType), [ua.QualifiedName("Message")]
            )
            clause.AttributeId = ua.AttributeIds.Value
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor.NodeId = ua.NodeId(ua.ObjectIds.Server)
            item.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
            item.MonitoringMode = ua.MonitoringMode.Reporting
            item.RequestedParameters.Filter = ua.EventFilter(SelectClauses=[clause] * fields)
            item.RequestedParameters.QueueSize = 2**31
            items = ua.CreateMonitoredItemsParameters(SubscriptionId=made.SubscriptionId)
            items.ItemsToCreate = [item]
            (result,) = await client.uaclient.create_monitored_items(items)
            return result.StatusCode.name, result.RevisedQueueSize

        assert (await listen(500))[0] == "BadEventFilterInvalid"
        assert (await listen(0))[0] == "BadEventFilterInvalid"
        taken = [await listen(30) for _ in range(6)]
        assert [status for status, _ in taken] == ["Good"] * 4 + ["BadTooManyMonitoredItems"] * 2
        assert taken[0][1] <= 500
        await client.close_session()
        client.disconnect_socket()

    asyncio.run(attack())


@contextlib.asynccontextmanager
async def subscribed(plant, gateway, keys, *, user="viewer"):
    """A viewer's client with a subscription; `told` is what it was told, oldest first."""
    client = await channel(gateway, keys, plant)
    await client.create_session()
    await client.activate_session(username=user, password=plant.password)
    asked = ua.CreateSubscriptionParameters(RequestedPublishingInterval=50)
    asked.RequestedLifetimeCount, asked.PublishingEnabled = 1000, True
    client.told = []

    def heard(result):
        for each in result.NotificationMessage.NotificationData or ():
            client.told += getattr(each, "MonitoredItems", None) or each.Events

    made = await client.uaclient.create_subscription(asked, heard)
    client.subscription = made.SubscriptionId
    try:
        yield client
    finally:
        await client.close_session()
        client.disconnect_socket()


async def watch(client, node, wanted=None, *, attribute=ua.AttributeIds.Value, queue=0):
    """Make an item; the answer is the server's."""
    item = ua.MonitoredItemCreateRequest(MonitoringMode=ua.MonitoringMode.Reporting)
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=attribute)
    item.RequestedParameters.Filter, item.RequestedParameters.QueueSize = wanted, queue
    items = ua.CreateMonitoredItemsParameters(SubscriptionId=client.subscription)
    items.ItemsToCreate = [item]
    (result,) = await client.uaclient.create_monitored_items(items)
    return result


async def watch_events(client, clauses, where=()):
    wanted = ua.EventFilter(SelectClauses=clauses, WhereClause=ua.ContentFilter(list(where)))
    attribute = ua.AttributeIds.EventNotifier
    return await watch(client, ua.NodeId(ua.ObjectIds.Server), wanted, attribute=attribute)


def clause(*path, attribute=ua.AttributeIds.Value):
    kind = ua.NodeId(ua.ObjectIds.BaseEventType)
    return ua.SimpleAttributeOperand(kind, [ua.QualifiedName(each) for each in path], attribute)


def element(operator, *operands):
    return ua.ContentFilterElement(operator, list(operands))


async def told(client, truth, within_s=10.0):
    """The first of what a client was told of which this is true."""
    deadline = time.monotonic() + within_s
    while not any(map(truth, client.told)):
        assert time.monotonic() < deadline, client.told
        await asyncio.sleep(0.02)
    return next(filter(truth, client.told))


SCORE, ZONE, STATE = (ua.NodeId(f"north.Leak.{each}", 2) for each in ("Score", "Zone", "State"))
ABSOLUTE, PERCENT = (
    ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, kind, 0.05)
    for kind in (ua.DeadbandType.Absolute, ua.DeadbandType.Percent)
)
NO_DEADBAND = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 0.0)


def test_no_filter_hides_a_leak_that_grows_slowly_or_a_value_that_turns_stale(plant, gateway, keys):
    """The library compares with the value before: no step of a slow rise passes a deadband."""

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            for node in (SCORE, ZONE):
                for wanted in (ABSOLUTE, PERCENT, ua.EventFilter([clause("Message")])):
                    made = await watch(client, node, wanted)
                    assert made.StatusCode.name == "BadMonitoredItemFilterUnsupported"
            assert (await watch(client, ZONE, NO_DEADBAND)).StatusCode.is_good()
            assert (await watch(client, SCORE, NO_DEADBAND)).StatusCode.is_good()
            await told(client, lambda each: each.Value.Value.Value == scores[-1])
            await told(
                client, lambda each: each.Value.StatusCode.name == "UncertainLastUsableValue"
            )
            heard = [each.Value.Value.Value for each in client.told if each.Value.Value is not None]
            assert set(scores[1:]) <= set(heard)

    scores = [number / 64 for number in range(20)]
    rising = iter(scores)

    def rise():
        return plant.snapshot(Leak__Score=next(rising, scores[-1]), Leak__Zone=None)

    async def scene():
        attacking = asyncio.create_task(attack())
        with plant.speak(gateway, rise, period_s=0.15):
            await asyncio.wait([attacking], timeout=5)
        await attacking

    asyncio.run(scene())


def test_who_asks_for_it_is_told_that_a_value_is_new_though_it_is_the_same(plant, gateway, keys):
    async def scene():
        async with subscribed(plant, gateway, keys) as client:
            wanted = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp)
            assert (await watch(client, STATE, wanted)).StatusCode.is_good()
            times = lambda: {each.Value.SourceTimestamp for each in client.told}  # noqa: E731
            await told(client, lambda _: len(times()) > 4)

    with plant.speak(gateway, plant.snapshot):
        asyncio.run(scene())


def test_an_event_filter_of_nonsense_ends_nothing_and_gets_null_for_what_no_event_has(
    plant, gateway, keys
):
    nonsense = [
        clause("emitting_node"),
        clause("data_types"),
        clause("__class__"),
        clause("to_event_fields"),
        clause(None),
        clause("ActiveState", None),
        clause(attribute=9999),
        clause(),
    ]
    known = [clause("Message"), clause("ActiveState", "Id"), clause(attribute=1)]

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            assert (await watch_events(client, nonsense + known)).StatusCode.is_good()
            with leaking(plant, gateway):
                event = await told(client, lambda each: each.EventFields[-2].Value is True)
            *nothing, message, _, node = (each.Value for each in event.EventFields)
            assert nothing == [None] * len(nonsense)
            assert message.Text
            assert node == ua.NodeId("/Alarms/north.leak", 2)
            assert await read_state(client)

    asyncio.run(attack())
    assert gateway.opcua.poll() is None


@contextlib.contextmanager
def leaking(plant, gateway):
    """A leak that begins anew, whatever was before."""
    with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
        time.sleep(0.5)
    with plant.speak(gateway, plant.snapshot):
        yield


def test_a_filter_that_cannot_be_judged_in_time_or_at_all_is_refused(plant, gateway, keys):
    """Else events would go missing without a word, or one viewer's filter would stop everybody."""
    value, op = ua.LiteralOperand(ua.Variant(1)), ua.FilterOperator
    message = [clause("Message")]
    unfit = [
        [element(op.Equals, ua.ElementOperand(0), value)],
        [element(op.Not, ua.ElementOperand(1)), element(op.Not, ua.ElementOperand(0))],
        [element(op.Not, ua.ElementOperand(7))],
        [element(op.Like, clause("Message"), ua.LiteralOperand(ua.Variant("%leak%")))],
        [element(op.BitwiseAnd, value, value)],
        [element(op.Cast, value, value)],
        [element(op.Equals, value)],
        [element(op.Equals, value, ua.AttributeOperand())],
        [element(op.Equals, value, ua.LiteralOperand(ua.Variant([1] * 100)))],
        [element(op.InList, *[value] * 1000)],
        [element(op.Equals, clause(*["x"] * 1000), value)],
        [element(op.Not, value)] * 65,
    ]
    chain = [
        element(op.Equals, ua.ElementOperand(place), ua.ElementOperand(place))
        for place in range(1, 64)
    ]
    fit = [*chain, element(op.OfType, ua.LiteralOperand(ua.Variant(ua.NodeId(2041))))]

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            for where in unfit:
                made = await watch_events(client, message, where)
                assert made.StatusCode.name == "BadEventFilterInvalid", where
            for clauses in ([clause(*["x"] * 1000)], []):
                made = await watch_events(client, clauses)
                assert made.StatusCode.name == "BadEventFilterInvalid"
            assert (await watch_events(client, message, fit)).StatusCode.is_good()
            with leaking(plant, gateway):
                await told(client, lambda each: "leak" in each.EventFields[0].Value.Text)
                began = time.monotonic()
                assert await read_state(client)
                assert time.monotonic() - began < 2.0

    asyncio.run(attack())


def test_changing_an_item_goes_round_no_bound(plant, gateway, keys):
    async def change(client, made, wanted=None):
        item = ua.MonitoredItemModifyRequest(MonitoredItemId=made.MonitoredItemId)
        item.RequestedParameters.Filter, item.RequestedParameters.QueueSize = wanted, 0
        items = ua.ModifyMonitoredItemsParameters(SubscriptionId=client.subscription)
        items.ItemsToModify = [item]
        (result,) = await client.uaclient.modify_monitored_items(items)
        return result.StatusCode.name, result.RevisedQueueSize

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            score = await watch(client, SCORE, queue=20)
            events = await watch_events(client, [clause("Message")])
            refused = "BadMonitoredItemFilterUnsupported"
            assert (await change(client, score, ABSOLUTE))[0] == refused
            long = ua.EventFilter([clause("Message")] * 1000)
            assert (await change(client, events, long))[0] == refused
            assert (await change(client, score, long))[0] == refused
            assert await change(client, score) == ("Good", 20)
            assert await change(client, events) == ("Good", 500)
            unknown = ua.MonitoredItemCreateResult(MonitoredItemId=9999)
            assert (await change(client, unknown))[0] == "BadMonitoredItemIdInvalid"

    asyncio.run(attack())


def hello(size=65535):
    url = b"opc.tcp://x"
    body = struct.pack("<IIIIII", 0, size, size, 0, 0, len(url)) + url
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


def test_a_message_that_never_ends_costs_little_memory(plant, gateway):
    """A header that promises 2 GB, and bytes without end."""
    with socket.create_connection(("127.0.0.1", gateway.ports["opcua"]), timeout=10) as stranger:
        stranger.sendall(hello())
        assert stranger.recv(100)[:4] == b"ACKF"
        stranger.sendall(b"OPNF" + struct.pack("<II", 0x7FFFFFFF, 0))
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(200):
                stranger.sendall(bytes(65536))
    assert resident_mb(gateway) < 300


def test_clients_that_take_all_places_leave_the_rest_of_the_gateway_alone(gateway):
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stranger = socket.create_connection(("127.0.0.1", gateway.ports["opcua"]), timeout=10)
            stack.callback(stranger.close)
            with contextlib.suppress(OSError):
                stranger.sendall(hello() * 50)
        assert max(modbus_answers(gateway) for _ in range(10)) < 1.0
    assert resident_mb(gateway) < 300


def test_garbage_does_not_fill_the_log(gateway):
    before = gateway.log.stat().st_size
    for number in range(100):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", gateway.ports["opcua"]), timeout=10) as stranger,
        ):
            stranger.sendall(struct.pack("<4sI", b"MSGF", 40) + bytes([number]) * 32)
            stranger.sendall(hello() + b"XYZF" + struct.pack("<I", 30) + bytes(22))
    assert gateway.log.stat().st_size - before < 20_000
    assert modbus_answers(gateway) < 1.0


def resident_mb(gateway):
    lines = Path(f"/proc/{gateway.opcua.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
