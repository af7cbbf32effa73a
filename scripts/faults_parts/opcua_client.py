"""Whether an OPC UA client that comes anew is served."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from .wrong import WrongError

if TYPE_CHECKING:
    from .rig import Rig

__all__ = ["serves_opcua"]


def serves_opcua(rig: Rig, *, within_s: float) -> None:
    """Wait until a new client reads the first camera's leak state.

    Raises:
        WrongError: when none can in time.
    """
    until_s = time.monotonic() + within_s
    last = ""
    while time.monotonic() < until_s:
        try:
            asyncio.run(_read(rig.daemon.opcua))
        except Exception as error:  # noqa: BLE001 - whatever the library throws, it is tried again
            last = " ".join(str(error).split()) or type(error).__name__
        else:
            return
        time.sleep(0.5)
    raise WrongError(f"OPC UA serves no new client for {within_s:.0f} s: {last}")


async def _read(port: int) -> None:
    from asyncua import Client, ua

    async with Client(f"opc.tcp://127.0.0.1:{port}/gasedge", timeout=4) as client:
        index = await client.get_namespace_index("urn:gasedge:model:1")
        node = client.get_node(ua.NodeId("camera0.Leak.State", index))
        await node.read_data_value(raise_on_bad_status=False)
