"""An OPC UA client of a third make: open62541, as the wheel `o6` brings it.

Run by itself, with a Python that has o6 (its free use ends after ten minutes a process):

    python tests/plant/second_stack.py ENDPOINT --user NAME --certificate FILE --key FILE
        --policy Basic256Sha256 --camera NAME [--acknowledge]

The password is read from GASEDGE_PASSWORD. Reads a few values, has the alarms refreshed and, if
asked, acknowledges the camera's leak; what it saw is printed as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time

FIELDS = ("EventId", "EventType", "SourceName", "ConditionName", "Severity", "Retain", "Message")
STATES = ("ActiveState/Id", "AckedState/Id", "ConfirmedState/Id")
ALARMS = "i=2881"  # AcknowledgeableConditionType
SERVER, CONDITION_TYPE = "i=2253", "i=2782"
REFRESH, ACKNOWLEDGE = "i=3875", "i=9111"


async def main(given: argparse.Namespace) -> dict[str, object]:
    """Connect, look, act."""
    import o6

    client = o6.Client(
        given.endpoint,
        certificate=given.certificate,
        privateKey=given.key,
        trustList=[given.server],
        securityMode=o6.SecurityMode.SIGN_AND_ENCRYPT,
        securityPolicy=f"http://opcfoundation.org/UA/SecurityPolicy#{given.policy}",
        applicationUri=given.application_uri,
        username=given.user,
        password=os.environ.get("GASEDGE_PASSWORD", ""),
    )
    seen: dict[str, object] = {}
    events: list[dict[str, object]] = []
    await client.connect()
    try:
        names = ("Leak.State", "Leak.Score", "Health.DataGood", "Frame.Seq", "Leak.BBox")
        nodes = [f"ns=2;s={given.camera}.{name}" for name in names]
        values = await client.read(nodes, valueOnly=False)
        seen["values"] = {
            name: [plain(each.value), str(each.status)]
            for name, each in zip(names, values, strict=True)
        }
        paths = ", ".join(f"/{name}" for name in (*FIELDS, *STATES))
        wanted = f"SELECT {paths} WHERE OFTYPE {ALARMS}"

        def told(event: dict[str, object]) -> None:
            events.append({name.strip("/"): plain(value) for name, value in event.items()})

        await client.monitorEvent(SERVER, told, wanted)
        subscription = client.defaultSubscription.id
        refreshed = await client.call(CONDITION_TYPE, REFRESH, [o6.UInt32(subscription)])
        seen["refresh"] = str(refreshed[0])
        leak = await first(events, given.camera, lambda event: bool(event["ActiveState/Id"]))
        seen["leak"] = leak
        if given.acknowledge:
            done = await client.call(
                f"ns=2;s=/Alarms/{given.camera}.leak",
                ACKNOWLEDGE,
                [o6.ByteString(bytes.fromhex(str(leak["EventId"]))), o6.LocalizedText("en", "o6")],
            )
            seen["acknowledged"] = str(done[0])
            acked = await first(events, given.camera, lambda event: bool(event["AckedState/Id"]))
            seen["after"] = acked
    finally:
        await client.disconnect()
    return seen


async def first(events: list[dict[str, object]], camera: str, truth: object) -> dict[str, object]:
    """The first leak event of the camera of which this is true."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        for event in events:
            mine = (event.get("SourceName"), event.get("ConditionName")) == (camera, "LeakAlarm")
            if mine and truth(event):
                return event
        await asyncio.sleep(0.05)
    raise TimeoutError(f"no such event among {events}")


def plain(value: object) -> object:
    """A value as JSON has it; o6 has numpy's numbers and arrays."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | float | str | list):
        return value
    return bytes(value).hex() if type(value).__name__ == "ByteString" else str(value)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("endpoint")
    for name in ("user", "certificate", "key", "server", "policy", "camera", "application-uri"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--acknowledge", action="store_true")
    sys.stdout.write(json.dumps(asyncio.run(main(arguments.parse_args()))) + "\n")
