"""A client that misbehaves in ways that a proper one cannot, made of the library's own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from tests.plant.opcua_client import URI


async def channel(gateway, keys, plant=None):
    """A client with an encrypted channel, not yet with a session."""
    client = Client(f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge", timeout=10)
    client.application_uri = URI
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


async def read_state(client):
    parameters = ua.ReadParameters()
    value = ua.ReadValueId()
    value.NodeId = ua.NodeId("north.Leak.State", 2)
    value.AttributeId = ua.AttributeIds.Value
    parameters.NodesToRead = [value]
    return await client.uaclient.read(parameters)


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


async def told(client, truth, within_s=30.0):
    """The first of what a client was told of which this is true."""
    deadline = time.monotonic() + within_s
    while not any(map(truth, client.told)):
        assert time.monotonic() < deadline, client.told
        await asyncio.sleep(0.02)
    return next(filter(truth, client.told))


@contextlib.contextmanager
def leaking(plant, gateway):
    """A leak that begins anew, whatever was before."""
    with plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)):
        time.sleep(0.5)
    with plant.speak(gateway, plant.snapshot):
        yield


def resident_mb(gateway):
    lines = Path(f"/proc/{gateway.opcua.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
