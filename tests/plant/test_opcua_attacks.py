"""What a stranger on the control network can and cannot do to the OPC UA server.

The library's own client is used where a test must misbehave in ways that a proper one cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time

import pytest

pytest.importorskip("asyncua")

from asyncua import ua
from asyncua.ua import ua_binary

from tests.plant.opcua_attacker import channel, read_state, resident_mb
from tests.plant.opcua_client import make_keys


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("opcua", "modbus")) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


def session_parameters(client):
    parameters = ua.CreateSessionParameters()
    parameters.ClientNonce = bytes(32)
    parameters.EndpointUrl = client.server_url.geturl()
    return parameters


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


def test_a_length_below_nothing_does_not_have_a_stranger_read_for_ever(plant, gateway, keys):
    """The library would go back by it and read the same text again, as often as the array says."""
    asked = ua.GetEndpointsRequest()
    asked.Parameters.LocaleIds = ["text"]
    body = ua_binary.struct_to_binary(asked)
    one = struct.pack("<ii", 1, 4) + b"text"
    assert one in body
    body = body.replace(one, struct.pack("<ii", 0x7FFFFFFF, -4) + b"text")

    async def attack():
        stranger = await channel(gateway, None)
        line = stranger.uaclient.protocol
        line.transport.write(line._connection.message_to_binary(body, request_id=7))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        person = await channel(gateway, keys, plant)
        await person.create_session()
        await person.activate_session(username=plant.user, password=plant.password)
        assert time.monotonic() - began < 5
        await person.close_session()
        for each in (person, stranger):
            each.disconnect_socket()

    asyncio.run(attack())
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
