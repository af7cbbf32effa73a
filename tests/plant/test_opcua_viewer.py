"""What a viewer who is logged in can and cannot do to the OPC UA server and to everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("asyncua")

from asyncua import ua

from edge_runtime.plant.opcua_items import BoundedItems
from tests.plant.opcua_attacker import (
    clause,
    element,
    leaking,
    read_state,
    resident_mb,
    subscribed,
    told,
    watch,
    watch_events,
)
from tests.plant.opcua_client import make_keys


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("opcua",)) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


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
            begun.set()
            await told(client, lambda each: scores[-1] in values([each]))
            risen.set()
            stale = "UncertainLastUsableValue"
            await told(client, lambda each: each.Value.StatusCode.name == stale)
            assert len(values(client.told) & {*scores}) > len(scores) / 2

    def values(told):
        return {each.Value.Value.Value for each in told if each.Value.Value is not None}

    scores = [number / 64 for number in range(20)]
    rising, begun, risen = iter(scores), threading.Event(), asyncio.Event()

    def rise():
        score = next(rising, scores[-1]) if begun.is_set() else 0.0
        return plant.snapshot(Leak__Score=score, Leak__Zone=None)

    async def scene():
        attacking = asyncio.create_task(attack())
        with plant.speak(gateway, rise, period_s=0.15):
            either = [attacking, asyncio.create_task(risen.wait())]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
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


def test_a_filter_that_cannot_be_judged_in_time_or_at_all_is_refused(plant, gateway, keys):
    """Else events would go missing without a word, or one viewer's filter would stop everybody."""
    value, op = ua.LiteralOperand(ua.Variant(1)), ua.FilterOperator
    text, message = ua.LiteralOperand(ua.Variant("1")), [clause("Message")]
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
        [element(op.GreaterThanOrEqual, clause("Severity"), text)],
        [element(op.Not, ua.ElementOperand(1)), element(op.LessThan, clause("Severity"), text)],
        [element(op.Between, clause("Severity"), value, text)],
        [element(op.GreaterThan, clause("NoSuchField"), value)],
        [element(op.GreaterThan, clause("Time"), value)],
        [element(op.Equals, clause("Severity"), text)],
        [element(op.InList, clause("Severity"), text, text)],
    ]
    chain = [
        element(op.Equals, ua.ElementOperand(place), ua.ElementOperand(place))
        for place in range(1, 64)
    ]
    fit = [*chain, element(op.OfType, ua.LiteralOperand(ua.Variant(ua.NodeId(2041))))]
    severe = [
        element(op.And, ua.ElementOperand(1), ua.ElementOperand(2)),
        element(op.And, ua.ElementOperand(3), ua.ElementOperand(4)),
        element(op.InList, clause("SourceName"), ua.LiteralOperand(ua.Variant("north")), text),
        element(op.GreaterThanOrEqual, clause("Severity"), value),
        element(op.Equals, clause("ActiveState", "Id"), value),
    ]

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            for where in unfit:
                made = await watch_events(client, message, where)
                assert made.StatusCode.name == "BadEventFilterInvalid", where
            for clauses in ([clause(*["x"] * 1000)], []):
                made = await watch_events(client, clauses)
                assert made.StatusCode.name == "BadEventFilterInvalid"
            assert (await watch_events(client, message, fit)).StatusCode.is_good()
            assert (await watch_events(client, [clause("Severity")], severe)).StatusCode.is_good()
            with leaking(plant, gateway):
                await told(client, lambda each: "leak" in _text(each))
                await told(client, lambda each: each.EventFields[0].Value == 800)
                began = time.monotonic()
                assert await read_state(client)
                assert time.monotonic() - began < 2.0

    asyncio.run(attack())


def _text(event):
    return getattr(event.EventFields[0].Value, "Text", "")


def test_subscriptions_that_come_and_go_leave_no_logger_behind():
    """The library names one after each, and a logger lives as long as the process."""
    before = set(logging.Logger.manager.loggerDict)
    for number in range(9):
        subscription = SimpleNamespace(data=SimpleNamespace(SubscriptionId=number))
        BoundedItems(subscription, None, {}).logger.debug("it can be written to")
    assert set(logging.Logger.manager.loggerDict) == before
    above = logging.Logger.manager.loggerDict["asyncua.server.monitored_item_service"]
    assert isinstance(above, logging.Logger)  # a placeholder would hold them all the same


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


LARGE = ua.NodeId(ua.ObjectIds.OpcUa_BinarySchema)  # 80 KB, on every server
READ = ua.ReadValueId(NodeId=LARGE, AttributeId=ua.AttributeIds.Value)


def test_a_user_cannot_ask_for_an_answer_that_fills_the_memory(plant, gateway, keys):
    """A request of 256 KB can name one large value, or one node with many references, for ever."""
    everything = ua.BrowseDescription(NodeId=ua.NodeId(ua.ObjectIds.BaseEventType), ResultMask=63)
    everything.BrowseDirection = ua.BrowseDirection.Both
    acknowledged = ua.SubscriptionAcknowledgement()

    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            service = client.uaclient
            assert len(await service.read(ua.ReadParameters(NodesToRead=[READ]))) == 1
            with pytest.raises(ua.uaerrors.BadResponseTooLarge):
                await service.read(ua.ReadParameters(NodesToRead=[READ] * 2000))
            assert (await service.browse(ua.BrowseParameters(NodesToBrowse=[everything])))[0]
            with pytest.raises(ua.uaerrors.BadResponseTooLarge):
                await service.browse(ua.BrowseParameters(NodesToBrowse=[everything] * 2000))
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await service.browse(ua.BrowseParameters(NodesToBrowse=[everything] * 2001))
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await service.publish([acknowledged] * 2000)

    asyncio.run(attack())
    assert resident_mb(gateway) < 300


def test_a_user_cannot_have_large_values_queued_without_bound(plant, gateway, keys):
    async def attack():
        async with subscribed(plant, gateway, keys) as client:
            mask = ua.NodeId("north.Mask.Data", 2)
            made = [await watch(client, mask, queue=20) for _ in range(6)]
            assert [each.StatusCode.name for each in made] == ["Good"] * 4 + [
                "BadTooManyMonitoredItems"
            ] * 2
            assert {each.RevisedQueueSize for each in made[:4]} == {1}
            items = ua.CreateMonitoredItemsParameters(SubscriptionId=client.subscription)
            items.ItemsToCreate = [ua.MonitoredItemCreateRequest()] * 3000
            with pytest.raises(ua.uaerrors.BadTooManyMonitoredItems):
                await client.uaclient.create_monitored_items(items)
            with pytest.raises(ua.uaerrors.BadMessageNotAvailable):
                await client.uaclient.session.republish(client.subscription, 1)

    asyncio.run(attack())


def test_what_a_client_had_is_gone_with_its_connection(plant, gateway, keys):
    """Else one whose network fails now and then would lock itself out of its own subscriptions."""

    async def come_and_go():
        async with subscribed(plant, gateway, keys) as client:
            for _ in range(7):
                asked = ua.CreateSubscriptionParameters(RequestedPublishingInterval=100)
                await client.uaclient.create_subscription(asked, lambda _: None)
            client.uaclient.protocol.transport.abort()

    for _ in range(6):
        with contextlib.suppress(ConnectionError):
            asyncio.run(come_and_go())
