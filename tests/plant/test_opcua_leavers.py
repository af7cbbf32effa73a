"""Who is taken out of the user file or given another role hears nothing more by OPC UA."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from contract.roles import Role
from edge_runtime.plant.users import add_user, remove_user

pytest.importorskip("asyncua")

from asyncua import ua

from tests.plant.opcua_client import encrypted, make_keys

STATE = "ns=2;s=north.Leak.State"


async def logged_in(gateway, folder, user, password):
    client = await encrypted(gateway, folder, user, password)
    await client.connect()
    return client


async def reads(client) -> bool:
    try:
        await client.get_node(STATE).read_data_value(raise_on_bad_status=False)
    except (ConnectionError, OSError, asyncio.TimeoutError, ua.UaError):
        return False
    return True


async def left(client) -> None:
    with contextlib.suppress(ConnectionError, OSError, asyncio.TimeoutError, ua.UaError):
        await asyncio.wait_for(client.disconnect(), 5)


def test_a_removed_user_and_one_of_another_role_are_put_out_and_nobody_else(plant, tmp_path):
    make_keys(tmp_path)
    users = tmp_path / "users"
    names = ("stays", "leaves", "rises")
    for name in names:
        add_user(users, name, plant.password, Role.OPERATOR)
    extra = f'users = "{users}"\nstate_dir = "{tmp_path / "state"}"\n'

    async def scene(gateway):
        clients = {name: await logged_in(gateway, tmp_path, name, plant.password) for name in names}
        try:
            assert all([await reads(each) for each in clients.values()])
            remove_user(users, "leaves")
            await asyncio.to_thread(
                plant.until, lambda: gateway.said("'leaves' is no"), within_s=20
            )
            remove_user(users, "rises")
            add_user(users, "rises", plant.password, Role.ENGINEER)
            await asyncio.to_thread(
                plant.until, lambda: gateway.said("'rises' is no longer operator"), within_s=20
            )
            assert await reads(clients["stays"])
            assert not await reads(clients["leaves"])
            assert not await reads(clients["rises"])
            again = await logged_in(gateway, tmp_path, "rises", plant.password)
            assert await reads(again)
            await left(again)
            with pytest.raises((ua.UaError, ConnectionError)):
                await logged_in(gateway, tmp_path, "leaves", plant.password)
        finally:
            for each in clients.values():
                await left(each)

    with plant.run(tmp_path / "g", serve=("opcua",), extra=extra) as gateway:
        asyncio.run(scene(gateway))
